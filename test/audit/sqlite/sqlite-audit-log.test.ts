import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { SqliteAuditChain } from '../../../src/audit/sqlite/sqlite-audit-chain.js';
import { SqliteAuditLog } from '../../../src/audit/sqlite/sqlite-audit-log.js';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { describeAuditChain } from '../audit-chain-suite.js';
import { auditOptions, describeAuditLog } from '../audit-log-suite.js';

const newDirectory = () => mkdtempSync(join(tmpdir(), 'verdict-audit-'));

describeAuditLog('SQLite', () => {
  const directory = newDirectory();
  return {
    open: (options) => SqliteAuditLog.open({ ...options, path: join(directory, 'verdict.sqlite') }),
    end: () => rmSync(directory, { recursive: true, force: true }),
  };
});

it('events that are rare among many are found page by page, and each says how far it looked', async () => {
  const directory = newDirectory();
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const open = (searchWindows?: number) =>
    SqliteAuditLog.open({
      ...auditOptions(),
      ...(searchWindows !== undefined && { searchWindows }),
      path: join(directory, 'verdict.sqlite'),
    });
  let audit = await open();
  const now = Date.UTC(2026, 2, 1);
  await audit.record({ type: 'api_key_created', actor: 'first' }, now - 1_000);
  for (let n = 0; n < 45_000; n += 900) {
    for (let i = n; i < n + 900; i++) audit.note({ type: 'decisions_read', actor: `reader ${i}` }, now + i);
    await audit.search({ limit: 1 });
  }
  await audit.close();
  // Two statements look at 40,000 events, of 45,001.
  audit = await open(2);
  const page = await audit.search({ type: 'api_key_created' });
  expect(page).toMatchObject({ items: [], nextCursor: '5002' });
  expect(Date.parse(page.searchedTo!)).toBeGreaterThanOrEqual(now + 4_000);
  const last = await audit.search({ type: 'api_key_created', cursor: page.nextCursor! });
  expect(last.items).toMatchObject([{ actor: 'first' }]);
  expect(last.searchedTo).toBeUndefined();
  expect(last.nextCursor).toBeUndefined();
  const everything = await audit.search({ limit: 1_000 });
  expect(everything.items).toHaveLength(1_000);
  expect((await audit.search({ limit: 1, cursor: everything.nextCursor! })).items[0]!.id).toBe(44_001);
  await audit.close();
});

describeAuditChain('SQLite', () => {
  const directory = newDirectory();
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'verdict.sqlite');
  return {
    isShared: false,
    open: (options) => SqliteAuditLog.open({ ...options, path }),
    chain: async () => {
      const chain = await SqliteAuditChain.openToRead(path);
      onTestFinished(() => chain!.close());
      return chain!;
    },
    change: async (statement) => {
      const connection = await SqliteConnection.open({ path, busyTimeoutMs: 1_000 });
      await connection.query(statement((table) => table));
      await connection.close();
    },
  };
});
