/** Certificate authorities that live as long as a test. */
import 'reflect-metadata';
import { webcrypto as crypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509Certificate,
  X509CertificateGenerator,
  X509CrlGenerator,
} from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 86_400_000;

export interface Issued {
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  readonly cert: string;
  issue(commonName: string, options?: { server?: boolean; uri?: string; notAfter?: Date }): Promise<Issued>;
  /** A list that revokes this certificate and no other. */
  revoke(certificate: Issued): Promise<string>;
}

let serial = Date.now();

export async function makeAuthority(name: string): Promise<Authority> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const notBefore = new Date(Date.now() - dayMs);
  const root = await X509CertificateGenerator.createSelfSigned(
    {
      name: `CN=${name}`,
      serialNumber: nextSerial(),
      notBefore,
      notAfter: new Date(Date.now() + dayMs),
      signingAlgorithm: algorithm,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, 1, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      ],
    },
    crypto,
  );
  return {
    cert: root.toString('pem'),
    issue: async (commonName, { server = false, uri, notAfter = new Date(Date.now() + dayMs) } = {}) => {
      const own = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
      const names = [
        ...(server
          ? [
              { type: 'dns' as const, value: commonName },
              { type: 'ip' as const, value: '127.0.0.1' },
            ]
          : []),
        ...(uri === undefined ? [] : [{ type: 'url' as const, value: uri }]),
      ];
      const certificate = await X509CertificateGenerator.create(
        {
          subject: `CN=${commonName}`,
          issuer: root.subject,
          serialNumber: nextSerial(),
          notBefore,
          notAfter,
          signingAlgorithm: algorithm,
          publicKey: own.publicKey,
          signingKey: keys.privateKey,
          extensions: names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)],
        },
        crypto,
      );
      const pkcs8 = await crypto.subtle.exportKey('pkcs8', own.privateKey);
      return { cert: certificate.toString('pem'), key: PemConverter.encode(pkcs8, 'PRIVATE KEY') };
    },
    revoke: async ({ cert }) => {
      const crl = await X509CrlGenerator.create(
        {
          issuer: root.subject,
          thisUpdate: notBefore,
          nextUpdate: new Date(Date.now() + dayMs),
          signingAlgorithm: algorithm,
          signingKey: keys.privateKey,
          entries: [{ serialNumber: new X509Certificate(cert).serialNumber }],
        },
        crypto,
      );
      return PemConverter.encode(crl.rawData, 'X509 CRL');
    },
  };
}

function nextSerial(): string {
  serial++;
  return serial.toString(16).padStart(16, '0');
}
