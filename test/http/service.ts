/** The whole service on temporary folders, for tests that ask it by `inject`: real policies, a real log, no socket. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { pino } from 'pino';
import { createApplication } from '../../src/application.js';
import type { Config } from '../../src/config/config.js';
import { readConfig } from '../../src/config/read-config.js';
import { DecisionLog } from '../../src/decision-log/decision-log.js';
import { idModel } from '../models.js';

/** Files by their path: `{ 'orders/model.conf': … }`. */
export type PolicyFiles = Record<string, string>;

export const onePolicySet: PolicyFiles = {
  'default/model.conf': idModel,
  'default/rules.csv': 'p, ann, doc, read\n',
};

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  // biome-ignore lint/suspicious/noExplicitAny: each test knows the body that it asked for
  readonly body: any;
}

export interface Service {
  readonly app: NestFastifyApplication;
  readonly log: DecisionLog;
  readonly directory: string;
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answer>;
  get(path: string, headers?: Record<string, string>): Promise<Answer>;
  stop(): Promise<void>;
}

export async function startService(
  files: PolicyFiles = onePolicySet,
  settings: Partial<Config> = {},
): Promise<Service> {
  const directory = mkdtempSync(join(tmpdir(), 'verdict-http-'));
  writePolicies(join(directory, 'policies'), files);
  const { config } = readConfig(
    {},
    {
      policyDir: join(directory, 'policies'),
      databaseUrl: `sqlite:${join(directory, 'data', 'verdict.sqlite')}`,
      auth: 'none',
      ...settings,
    },
  );
  const app = await createApplication(config, pino({ level: 'silent' }));

  async function ask(
    method: 'GET' | 'POST',
    url: string,
    body: unknown,
    headers: Record<string, string>,
  ): Promise<Answer> {
    const payload = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    const response = await app.inject({ method, url, headers, ...(method === 'POST' && { payload }) });
    // Not NDJSON, which is one document a line.
    const isJson = /[/+]json\b/.test(String(response.headers['content-type']));
    return { status: response.statusCode, headers: response.headers, body: isJson ? response.json() : response.body };
  }

  return {
    app,
    log: app.get(DecisionLog),
    directory,
    post: (path, body, headers = {}) => ask('POST', path, body, { 'content-type': 'application/json', ...headers }),
    get: (path, headers = {}) => ask('GET', path, undefined, headers),
    stop: async () => {
      await app.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export function writePolicies(directory: string, files: PolicyFiles): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
}
