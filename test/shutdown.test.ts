/** The service stops in order: answered decisions are on the disk, whichever part fails to stop (P4). */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { AuditLog } from '../src/audit/audit-log.js';
import { ApiKeys } from '../src/auth/api-keys.js';
import { ManagedKeys } from '../src/auth/managed-keys.js';
import { ServiceDatabase } from '../src/database/service-database.js';
import { DataFolderLock } from '../src/database/sqlite/data-folder-lock.js';
import { DecisionLogReader } from '../src/decision-log/sqlite/decision-log-reader.js';
import { ArchiveRetention } from '../src/policy-store/archive/archive-retention.js';
import { PolicyArchive } from '../src/policy-store/archive/policy-archive.js';
import { PolicyStore } from '../src/policy-store/policy-store.js';
import { CrossCheck } from '../src/stock-casbin/cross-check.js';
import { startService } from './http/service.js';

const stops = [
  [CrossCheck, 'stop'],
  [ServiceDatabase, 'stop'],
  [PolicyStore, 'stop'],
  [ArchiveRetention, 'stop'],
  [PolicyArchive, 'close'],
  [ApiKeys, 'stop'],
  [ManagedKeys, 'close'],
  [AuditLog, 'close'],
  [ServiceDatabase, 'close'],
  [DataFolderLock, 'release'],
] as const;

it.each(stops)('the log is flushed though %o fails to stop', async (part, method) => {
  const service = await startService(undefined, { decisionLog: 'async' });
  const instance = service.app.get(part as never, { strict: false }) as Record<string, () => Promise<void>>;
  const stop = instance[method]!.bind(instance);
  let failed = false;
  instance[method] = async () => {
    failed = true;
    await stop();
    throw new Error('this part does not stop');
  };
  const { body } = await service.post('/v1/decide', { subject: 'ann', action: 'read', resource: 'doc' });
  await service.app.close();
  expect(failed).toBe(true);
  const data = join(service.directory, 'data');
  // A log that was not stopped leaves its WAL behind.
  expect(existsSync(join(data, 'verdict.decisions.sqlite-wal'))).toBe(false);
  const reader = await DecisionLogReader.open(join(data, 'verdict.sqlite'));
  try {
    expect(await reader.find(body.decisionId)).toMatchObject({ decision: 'allow' });
  } finally {
    await reader.close();
    await service.stop();
  }
});
