/** What a client that decides by itself sees of a service: bundles and records, as a test says. */
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { FlattenedSign } from 'jose';
import { noteSigner } from '../../src/decision-log/proof/signed-note.js';
import { compilePolicySet, engineVersion } from '../../src/engine.js';
import { idModel } from '../models.js';
import { type Asked, scripted, sendJson } from './scripted-server.js';

/** A bundle of a set in which the subjects may read the document. */
export function bundleOf(
  subjects: readonly string[],
  more: object = {},
): Record<string, unknown> & { version: string } {
  const files = [
    { path: 'model.conf', text: idModel },
    { path: 'policy-set.yaml', text: 'local: allowed\n' },
    { path: 'rules.csv', text: subjects.map((subject) => `p, ${subject}, doc, read\n`).join('') },
  ];
  const { version } = compilePolicySet({
    model: files[0]!.text,
    manifest: files[1]!.text,
    rules: [{ file: 'rules.csv', text: files[2]!.text }],
  });
  return { format: 1, set: 'docs', version, engineVersion, semantics: 2, files, ...more };
}

export const mayRead = (subject: string) => ({ subject, action: 'read', resource: 'doc' });

export function newSigner() {
  const signer = noteSigner('verdict-replica', generateKeyPairSync('ed25519').privateKey);
  return { ...signer, keys: { keys: [{ key: signer.text, certificates: [] }] } };
}

export async function signatureOf(
  body: Uint8Array,
  { name, id, privateKey }: { name: string; id: Buffer; privateKey: KeyObject },
  header: object = {},
): Promise<string> {
  const jws = await new FlattenedSign(body)
    .setProtectedHeader({
      alg: 'EdDSA',
      kid: `${name}+${id.toString('hex')}`,
      typ: 'verdict-local-bundle',
      b64: false,
      crit: ['b64'],
      ...header,
    } as { alg: string })
    .sign(privateKey);
  return `${jws.protected}..${jws.signature}`;
}

interface SentRecords {
  readonly instance: string;
  readonly first: number;
  readonly end?: boolean;
  readonly records: readonly Record<string, unknown>[];
}

export interface LocalService {
  readonly url: string;
  readonly asked: Asked[];
  /** What it gives; replaced by a test. */
  bundle: Record<string, unknown>;
  headers: Record<string, string>;
  /** Answers in the place of the service; undefined where the service is to answer. */
  spoil: ((asked: Asked, response: ServerResponse) => true | undefined) | undefined;
  /** What it took, by instance: each number once, without a hole. */
  readonly taken: Map<string, { readonly items: Record<string, unknown>[]; next: number; isEnded: boolean }>;
  stop(): Promise<void>;
}

/** A wait ends at once where the bundle is another one, else after a moment: nothing here waits for a client's patience. */
const longestWaitMs = 20;

export async function localService(bundle: Record<string, unknown> = bundleOf(['ann'])): Promise<LocalService> {
  const taken: LocalService['taken'] = new Map();
  const server = await scripted((asked, response) => {
    if (service.spoil?.(asked, response) === true) return;
    if (asked.path.startsWith('/v1/policy-sets/')) giveBundle(asked, response);
    else if (asked.path === '/v1/decision-records') takeRecords(JSON.parse(asked.body), response);
    else response.writeHead(404).end();
  });

  function giveBundle({ headers }: Asked, response: ServerResponse): void {
    const began = performance.now();
    const look = () => {
      const body = JSON.stringify(service.bundle);
      const etag = `"sha256:${createHash('sha256').update(body).digest('hex')}"`;
      const waited = performance.now() - began;
      const all = { etag, 'verdict-source-age': '0', 'verdict-waited': String(Math.floor(waited)), ...service.headers };
      if (headers['if-none-match'] !== etag) {
        response.writeHead(200, { 'content-type': 'application/json', ...all }).end(body);
      } else if (waited >= longestWaitMs) response.writeHead(304, all).end();
      else setTimeout(look, 5);
    };
    look();
  }

  function takeRecords({ instance, first, records, end = false }: SentRecords, response: ServerResponse): void {
    const known = taken.get(instance) ?? { items: [], next: 1, isEnded: false };
    taken.set(instance, known);
    if (first > known.next) {
      sendProblem(response, 409, 'records_missing', { next: known.next });
      return;
    }
    let number = first;
    for (const record of records) {
      const count = (record.lost as number | undefined) ?? 1;
      if (number + count > known.next) known.items.push(record);
      known.next = Math.max(known.next, number + count);
      number += count;
    }
    known.isEnded ||= end;
    sendJson(response, { next: known.next, disputed: 0, refused: [] });
  }

  const service: LocalService = {
    url: server.url,
    asked: server.asked,
    bundle,
    headers: {},
    spoil: undefined,
    taken,
    stop: server.stop,
  };
  return service;
}

export function sendProblem(response: ServerResponse, status: number, code: string, more: object = {}): void {
  const problem = { type: `urn:verdict:problem:${code}`, title: code, status, detail: 'As the test says.' };
  response
    .writeHead(status, { 'content-type': 'application/problem+json' })
    .end(JSON.stringify({ ...problem, instance: 'urn:verdict:request:1', ...more }));
}
