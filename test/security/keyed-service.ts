/** A service with declared API keys, asked by `inject`: for tests that need callers and no wire. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { InjectOptions, LightMyRequestResponse } from 'fastify';
import { digestOf, makeApiKey } from '../../src/auth/api-key.js';
import type { Config } from '../../src/config/config.js';
import { type PolicyFiles, type Service, startService } from '../http/service.js';
import { idModel } from '../models.js';

export const threeSets: PolicyFiles = {
  'default/model.conf': idModel,
  'default/rules.csv': 'p, ann, doc, read\n',
  'invoices/model.conf': idModel,
  'invoices/rules.csv': 'p, ann, invoice, pay\n',
  'salaries/model.conf': idModel,
  'salaries/rules.csv': 'p, eve, salary, read\n',
};

/** Fields of an entry beside name and digest, as YAML writes them. */
export type Entries = Record<string, string>;

export interface KeyedService {
  readonly service: Service;
  /** The text of each key by its name. */
  readonly keys: Record<string, string>;
  readonly keysFile: string;
  as(
    name: string,
    method: 'GET' | 'POST' | 'DELETE',
    url: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<LightMyRequestResponse>;
  inject(options: InjectOptions): Promise<LightMyRequestResponse>;
  stop(): Promise<void>;
}

export function entryText(name: string, key: string, fields: string): string {
  return `- name: ${name}\n  sha256: ${digestOf(key)}\n${fields.replace(/^/gm, '  ')}\n`;
}

export async function startKeyedService(entries: Entries, settings: Partial<Config> = {}): Promise<KeyedService> {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-keys-'));
  const keys = Object.fromEntries(Object.keys(entries).map((name) => [name, makeApiKey('test')]));
  const keysFile = join(directory, 'keys.yaml');
  writeFileSync(
    keysFile,
    Object.entries(entries)
      .map(([name, fields]) => entryText(name, keys[name]!, fields))
      .join(''),
  );
  const service = await startService(threeSets, { auth: 'required', env: 'test', apiKeysFile: keysFile, ...settings });
  // light-my-request's types and Nest's are of two copies of one package
  const inject = (options: InjectOptions) =>
    service.app.inject(options as never) as unknown as Promise<LightMyRequestResponse>;
  return {
    service,
    keys,
    keysFile,
    inject,
    as: (name, method, url, body, headers = {}) =>
      inject({
        method,
        url,
        headers: {
          authorization: `Bearer ${keys[name]}`,
          ...(method === 'POST' && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { payload: body as object }),
      }),
    stop: async () => {
      await service.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
