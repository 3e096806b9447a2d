import { readFileSync, statSync } from 'node:fs';
import { createSecureContext, type SecureContextOptions, type Server } from 'node:tls';
import type { Config } from '../config/config.js';

export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string;
  readonly crl?: string;
}

/** Only suites with forward secrecy and authenticated encryption, as all of TLS 1.3 (RFC 9325 section 4.2). */
const cipherSuites = [
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
].join(':');

/** TLS handshake timeout in milliseconds. */
const handshakeMs = 10_000;
const pollEveryMs = 1_000;

/**
 * TLS options of the listener. With a client CA it asks for a certificate, which is judged with each request: callers
 * with another credential need none.
 *
 * @throws Error of the file system, or of OpenSSL when certificate and key do not belong together
 */
export function tlsOptions(files: TlsFiles) {
  const material = readMaterial(files);
  createSecureContext(material);
  return {
    ...material,
    handshakeTimeout: handshakeMs,
    requestCert: files.clientCa !== undefined,
    rejectUnauthorized: false,
  };
}

function readMaterial({ cert, key, clientCa, crl }: TlsFiles): SecureContextOptions {
  return {
    cert: readFileSync(cert),
    key: readFileSync(key),
    ...(clientCa !== undefined && { ca: readFileSync(clientCa) }),
    ...(crl !== undefined && { crl: readFileSync(crl) }),
    minVersion: 'TLSv1.2',
    ciphers: cipherSuites,
    honorCipherOrder: true,
  };
}

export function tlsFilesOf({ tlsCert, tlsKey, tlsClientCa, tlsCrl }: Config): TlsFiles | undefined {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  return {
    cert: tlsCert,
    key: tlsKey,
    ...(tlsClientCa !== undefined && { clientCa: tlsClientCa }),
    ...(tlsCrl !== undefined && { crl: tlsCrl }),
  };
}

export interface TlsLog {
  info(details: object, message: string): void;
  error(details: object, message: string): void;
}

/**
 * Uses changed files for new connections; open connections keep their certificate. Files that do not belong together,
 * as in the middle of a renewal, change nothing. Returns a function that ends the watch.
 */
export function watchTlsFiles(server: Server, files: TlsFiles, log: TlsLog, pollMs = pollEveryMs): () => void {
  const paths = Object.values(files);
  let seen = stampOf(paths);
  const timer = setInterval(() => {
    const stamp = stampOf(paths);
    if (stamp === seen) return;
    seen = stamp;
    try {
      server.setSecureContext(readMaterial(files));
      log.info({ files: paths }, 'the certificates were read again');
    } catch (error) {
      log.error({ err: error, files: paths }, 'the new certificates cannot be used; those before stay');
    }
  }, pollMs);
  timer.unref();
  return () => clearInterval(timer);
}

function stampOf(paths: readonly string[]): string {
  return paths
    .map((path) => {
      const file = statSync(path, { throwIfNoEntry: false });
      return file === undefined ? '' : [file.mtimeMs, file.ctimeMs, file.ino, file.size].join();
    })
    .join(';');
}
