import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AuditLog, AuditLogOptions } from '../../src/audit/audit-log.js';

/** A place where audit events are kept, empty at first; it is gone after `end`. */
export interface AuditHome {
  /** Opens a log there, which finds what others wrote before it. */
  open(options: AuditLogOptions): Promise<AuditLog>;
  end(): void;
}

/** The options of the logs in this suite: the word `secret` is a credential to them. */
export function auditOptions(maxAgeMs?: number): AuditLogOptions {
  return {
    ...(maxAgeMs !== undefined && { maxAgeMs }),
    mask: (text) => text.replaceAll('secret', '[credential]'),
    onProblem: (what, error) => {
      throw new Error(what, { cause: error });
    },
  };
}

/** What every audit log must do, wherever its events are kept. */
export function describeAuditLog(name: string, newHome: () => AuditHome): void {
  describe(`audit events in ${name}`, () => {
    let home: AuditHome;
    let audit: AuditLog;

    beforeEach(async () => {
      home = newHome();
      audit = await home.open(auditOptions());
    });
    afterEach(async () => {
      await audit.close();
      home.end();
    });

    it('that were recorded are there after a restart; those that were noted too, if it was not a crash', async () => {
      await audit.record({ type: 'api_key_created', actor: 'me', detail: 'shop' });
      audit.note({ type: 'authentication_failed', address: '192.0.2.1', detail: 'unknown' });
      await audit.close();
      audit = await home.open(auditOptions());
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
      audit = await home.open(auditOptions(7 * day));
      await expect.poll(async () => (await audit.search({})).items.map(({ detail }) => detail)).toEqual(['new']);
      await audit.prune(now + day - 1);
      expect((await audit.search({})).items).toHaveLength(1);
      await audit.prune(now + day + 1);
      expect((await audit.search({})).items).toHaveLength(0);
    });

    it('about somebody are those that name it as who did it or in a text, and not those with a longer name', async () => {
      const named = [
        { actor: 'dana' },
        { detail: 'dana: decide' },
        { detail: 'a change of user:dana.' },
        { policySet: 'dana' },
        { requestId: 'dana' },
      ] as const;
      const others = [
        { actor: 'dana-2', detail: 'bogdana' },
        { detail: 'dana@example.org, danaé and dana_b' },
        { actor: 'DANA' },
      ];
      for (const event of [...named, ...others]) await audit.record({ type: 'api_key_created', ...event });
      expect((await audit.search({ about: 'dana' })).items).toMatchObject([...named].reverse());
      expect((await audit.search({ about: 'dana', limit: 2 })).items).toMatchObject([
        { requestId: 'dana' },
        { policySet: 'dana' },
      ]);
      const page = await audit.search({ about: 'dana', limit: 2 });
      expect((await audit.search({ about: 'dana', cursor: page.nextCursor! })).items).toMatchObject(
        [...named].reverse().slice(2),
      );
      expect((await audit.search({ about: 'dana' }, ['dana'])).items).toMatchObject([{ policySet: 'dana' }]);
      await audit.record({ type: 'api_key_created', detail: '100%_[x]* \\n of it' });
      for (const about of ['100%_[x]*', '\\n']) expect((await audit.search({ about })).items).toHaveLength(1);
      expect((await audit.search({ about: '100.' })).items).toEqual([]);
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
}
