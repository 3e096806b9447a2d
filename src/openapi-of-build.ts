/** The OpenAPI document without the service: as `/docs-json` would answer, from an application that never listens. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { createApplication } from './application.js';
import type { Config } from './config/config.js';
import { readConfig } from './config/read-config.js';

/** What the environment says of sizes stands in the document; nothing else of it does. */
type Limits = Pick<Config, 'maxBodyBytes' | 'maxBatchBytes' | 'maxBatchItems' | 'maxIdLength' | 'maxAttributeDepth'>;

export async function openApiOfBuild(limits: Limits): Promise<object> {
  const { maxBodyBytes, maxBatchBytes, maxBatchItems, maxIdLength, maxAttributeDepth } = limits;
  // The caller's policies and database are not touched.
  const folder = await mkdtemp(join(tmpdir(), 'verdict-openapi-'));
  try {
    const { config } = readConfig(
      {
        VERDICT_POLICY_DIR: folder,
        VERDICT_DATABASE_URL: `sqlite:${join(folder, 'verdict.sqlite')}`,
        VERDICT_DECISION_LOG: 'off',
        VERDICT_AUTH: 'none',
      },
      { maxBodyBytes, maxBatchBytes, maxBatchItems, maxIdLength, maxAttributeDepth },
    );
    const app = await createApplication(config, pino({ level: 'silent' }));
    try {
      const answer = await app.inject({ method: 'GET', url: '/docs-json' });
      return answer.json() as object;
    } finally {
      await app.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
