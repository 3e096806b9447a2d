import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AuditLog } from '../../src/audit/audit-log.js';
import { SqliteAuditLog } from '../../src/audit/sqlite/sqlite-audit-log.js';

let directory: string;
let audit: AuditLog;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'verdict-audit-'));
  audit = await open();
});
afterEach(async () => {
  await audit.close();
  rmSync(directory, { recursive: true, force: true });
});

function open(maxAgeMs?: number, searchWindows?: number): Promise<AuditLog> {
  return SqliteAuditLog.open({
    ...(searchWindows !== undefined && { searchWindows }),
    ...(maxAgeMs !== undefined && { maxAgeMs }),
    path: join(directory, 'verdict.sqlite'),
    mask: (text) => text.replaceAll('secret', '[credential]'),
    onProblem: (what, error) => {
      throw new Error(what, { cause: error });
    },
  });
}

describe('audit events', () => {
  it('that were recorded are there after a restart; those that were noted too, if it was not a crash', async () => {
    await audit.record({ type: 'api_key_created', actor: 'me', detail: 'shop' });
    audit.note({ type: 'authentication_failed', address: '192.0.2.1', detail: 'unknown' });
    await audit.close();
    audit = await open();
    const { items } = await audit.search({});
    expect(items).toMatchObject([
      { type: 'authentication_failed' },
      { type: 'api_key_created', actor: 'me', count: 1 },
    ]);
  });

  it('that are older than they are kept go, also many of them, and the newer stay', async () => {
    const day = 86_400_000;
    const now = Date.now();
    for (let n = 0; n < 2_500; n++)
      audit.note({ type: 'decisions_read', actor: `reader ${n % 500}-${n}` }, now - 9 * day);
    await audit.search({});
    await audit.record({ type: 'api_key_created', detail: 'old' }, now - 8 * day);
    await audit.record({ type: 'api_key_created', detail: 'new' }, now - 6 * day);
    await audit.close();
    audit = await open(7 * day);
    await expect.poll(async () => (await audit.search({})).items.map(({ detail }) => detail)).toEqual(['new']);
    await audit.prune(now + day - 1);
    expect((await audit.search({})).items).toHaveLength(1);
    await audit.prune(now + day + 1);
    expect((await audit.search({})).items).toHaveLength(0);
  });

  it('that are rare among many are found page by page, and each says how far it looked', async () => {
    const now = Date.UTC(2026, 2, 1);
    await audit.record({ type: 'api_key_created', actor: 'first' }, now - 1_000);
    for (let n = 0; n < 45_000; n += 900) {
      for (let i = n; i < n + 900; i++) audit.note({ type: 'decisions_read', actor: `reader ${i}` }, now + i);
      await audit.search({ limit: 1 });
    }
    await audit.close();
    // Two statements look at 40,000 events, of 45,001.
    audit = await open(undefined, 2);
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
  });

  it('are kept for ever where nothing says otherwise', async () => {
    await audit.record({ type: 'api_key_created' }, 0);
    await audit.prune(Date.now());
    expect((await audit.search({})).items).toHaveLength(1);
  });

  it('that are equal within a second are one with a count; the first one names its request', async () => {
    for (let n = 0; n < 10_000; n++) {
      audit.note({ type: 'authentication_failed', address: '192.0.2.1', detail: 'unknown', requestId: `r${n}` });
    }
    audit.note({ type: 'authentication_failed', address: '192.0.2.2', detail: 'unknown' });
    const { items } = await audit.search({});
    expect(items).toMatchObject([
      { address: '192.0.2.2', count: 1 },
      { address: '192.0.2.1', count: 10_000, requestId: 'r0' },
    ]);
    expect(audit.counts.get('authentication_failed')).toBe(10_001);
  });

  it('of which a stranger makes up ever different ones are counted still, and none is dropped', async () => {
    for (let n = 0; n < 5_000; n++) audit.note({ type: 'authentication_failed', actor: `made up ${n}` });
    const { items } = await audit.search({ limit: 1_000 });
    const more = await audit.search({ limit: 1_000, cursor: String(items.at(-1)!.id) });
    const all = [...items, ...more.items];
    expect(all.length).toBeLessThanOrEqual(1_001);
    expect(all.reduce((sum, { count }) => sum + count, 0)).toBe(5_000);
  });

  it('keep 512 characters of what was sent, masked', async () => {
    audit.note({ type: 'authentication_failed', actor: `secret${'x'.repeat(10_000)}` });
    const { items } = await audit.search({});
    expect(items[0]!.actor).toHaveLength(512);
    expect(items[0]!.actor).toMatch(/^\[credential\]x+$/);
  });

  it('are paged newest first, stable while new ones come', async () => {
    for (let n = 0; n < 25; n++) await audit.record({ type: 'decisions_read', detail: String(n) });
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await audit.search({ limit: 10, ...(cursor !== undefined && { cursor }) });
      seen.push(...page.items.map(({ detail }) => detail!));
      cursor = page.nextCursor;
      await audit.record({ type: 'decisions_read', detail: 'new' });
    } while (cursor !== undefined);
    expect(seen).toEqual(Array.from({ length: 25 }, (_, n) => String(24 - n)));
  });

  it('are filtered by type, actor, address, set and time', async () => {
    const at = Date.parse('2026-03-01T12:00:00Z');
    await audit.record({ type: 'policy_set_reloaded', actor: 'a', policySet: 'x', address: '::1' }, at);
    await audit.record({ type: 'policy_set_rolled_back', actor: 'b', policySet: 'y' }, at + 1_000);
    const found = async (query: object, sets?: string[]) =>
      (await audit.search(query, sets)).items.map(({ actor }) => actor);
    expect(await found({ type: 'policy_set_reloaded' })).toEqual(['a']);
    expect(await found({ actor: 'b' })).toEqual(['b']);
    expect(await found({ address: '::1' })).toEqual(['a']);
    expect(await found({ policySet: 'y' })).toEqual(['b']);
    expect(await found({ from: '2026-03-01T12:00:01Z' })).toEqual(['b']);
    expect(await found({ to: '2026-03-01T12:00:01Z' })).toEqual(['a']);
    expect(await found({}, ['x'])).toEqual(['a']);
    expect(await found({ policySet: 'y' }, ['x'])).toEqual([]);
    expect(await found({}, [])).toEqual([]);
  });

  it.each([{ from: 'yesterday' }, { to: '2026-03-32' }, { cursor: 'x' }, { cursor: '1 OR 1=1' }])(
    'refuse %j',
    async (query) => {
      await expect(audit.search(query)).rejects.toMatchObject({ code: 'invalid_request' });
    },
  );
});
