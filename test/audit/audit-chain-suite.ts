/** What was changed, removed, inserted or moved of the audit events is found and named; nothing true is called false. */
import { generateKeyPairSync } from 'node:crypto';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { StoredAuditChain } from '../../src/audit/audit-chain.js';
import type { AuditLog, AuditLogOptions } from '../../src/audit/audit-log.js';
import type { NoteKey } from '../../src/decision-log/proof/signed-note.js';
import { noteSigner, signNote } from '../../src/decision-log/proof/signed-note.js';
import { type SignedAuditHead, verifyAuditChain } from '../../src/fleet/checkpoints/audit-verification.js';
import { auditOptions } from './audit-log-suite.js';

export interface ChainHome {
  /** Whether a release without the chain may run beside this one. */
  readonly isShared: boolean;
  /** Opens a log there; closed when the test ends. */
  open(options: AuditLogOptions): Promise<AuditLog>;
  chain(): Promise<StoredAuditChain>;
  /** Runs a statement, as somebody does who may write to the database. */
  change(statement: (table: (name: string) => string) => string): Promise<void>;
}

const key = noteSigner('verdict-fleet', generateKeyPairSync('ed25519').privateKey);
const day = 86_400_000;

export function describeAuditChain(name: string, newHome: () => ChainHome): void {
  describe(`the chain of audit events in ${name}`, () => {
    let home: ChainHome;
    const open = async (options: Partial<AuditLogOptions> = {}) => {
      const audit = await home.open({ ...auditOptions(), ...options });
      onTestFinished(() => audit.close());
      audit.signWith((text) => signNote(text, [key]));
      return audit;
    };
    const verified = async (heads: SignedAuditHead[] = [], keys: readonly NoteKey[] = [key]) => {
      const findings: string[] = [];
      const hear = ({ kind, what }: { kind: string; what: string }) => void findings.push(`${kind}: ${what}`);
      const report = await verifyAuditChain(await home.chain(), { keys, heads, depth: 'content', hear });
      return { ...report, findings };
    };
    const headOf = async (audit: AuditLog): Promise<SignedAuditHead> => ({ ...(await audit.head())!, place: 'kept' });
    const record = async (audit: AuditLog, count: number, from = 0) => {
      for (let i = from; i < from + count; i++)
        await audit.record({ type: 'api_key_created', actor: `actor ${i}`, detail: i % 2 ? 'ü \u{1f600}' : '' });
    };

    beforeEach(() => {
      home = newHome();
    });

    it('has every event once, of several processes at once, and says how many a checkpoint signs', async () => {
      const logs = [await open(), await open(), await open()];
      expect(await logs[0]!.head()).toBeUndefined();
      await Promise.all(logs.map((audit, i) => record(audit, 20, i * 100)));
      const head = await headOf(logs[0]!);
      expect(head.events).toBe(60);
      for (const audit of logs) audit.note({ type: 'decisions_read', actor: 'noted \0 \ud800 text' });
      for (const audit of logs) await audit.search({});
      expect(await verified([head])).toEqual({ events: 63, unproved: 0, adopted: 0, unsigned: 3, findings: [] });
      expect(await verified()).toMatchObject({ unsigned: 63, findings: [] });
    });

    it('is right after the retention, which signs what it removed, and finds what somebody else removed', async () => {
      const audit = await open({ maxAgeMs: day });
      const now = Date.now();
      for (let i = 0; i < 9; i++)
        await audit.record({ type: 'api_key_created', actor: `${i}` }, now - (i < 5 ? 2 : 0) * day);
      const early = await headOf(audit);
      await audit.prune(now);
      await record(audit, 3);
      const heads = [early, await headOf(audit)];
      expect(await verified(heads)).toEqual({ events: 7, unproved: 0, adopted: 0, unsigned: 0, findings: [] });
      expect((await verified(heads, [])).findings).toEqual([
        'missing: events 1 to 5 of the chain; no signed note says that the retention removed them',
      ]);
      // All of them go, and the chain goes on.
      await audit.prune(now + 3 * day);
      expect(await verified(heads)).toEqual({ events: 0, unproved: 0, adopted: 0, unsigned: 0, findings: [] });
      await record(audit, 2);
      expect(await verified([...heads, await headOf(audit)])).toMatchObject({ events: 2, findings: [] });
    });

    it('names what came without it since it began, by a release without it or by somebody else', async () => {
      const audit = await open();
      const insert = (id: string) =>
        home.change(
          (table) =>
            `INSERT INTO ${table('audit_event')} (${id === '' ? '' : 'id, '}time, type, count)
             ${home.isShared ? 'OVERRIDING SYSTEM VALUE' : ''} VALUES (${id}5, 'limit_hit', 1)`,
        );
      // As one of before the chain.
      await insert('-1, ');
      await record(audit, 2);
      expect(await verified()).toMatchObject({ events: 2, unproved: 1, findings: [] });
      await insert('');
      const named = [expect.stringMatching(/^wrong: the event with the id \d+ came into the table without proof: /)];
      expect(await verified()).toMatchObject({ events: 2, unproved: 2, findings: named });
      await record(audit, 1);
      // Where such a release may run beside this one, the next event takes it into the chain.
      const counts = home.isShared ? { events: 4, unproved: 1, adopted: 1 } : { events: 3, unproved: 2, adopted: 0 };
      expect(await verified()).toMatchObject({ ...counts, findings: named });
      await home.change((table) => `UPDATE ${table('audit_event')} SET actor = 'eve' WHERE time = 5 AND id > 0`);
      const { findings } = await verified();
      expect(findings).toEqual(home.isShared ? [expect.stringContaining('is not the one that was recorded')] : named);
    });

    it('says when the row is gone that says how far the retention removed events, or was changed', async () => {
      const audit = await open();
      await record(audit, 3);
      await home.change((table) => `UPDATE ${table('audit_chain')} SET events = 1`);
      expect((await verified()).findings).toEqual([expect.stringContaining('(audit_chain) was changed')]);
      await home.change((table) => `DELETE FROM ${table('audit_chain')}`);
      expect((await verified()).findings).toEqual([expect.stringMatching(/^missing: the row that says .*audit_chain/)]);
      await record(audit, 2);
      await home.change((table) => `DELETE FROM ${table('audit_event')}`);
      expect(await audit.head()).toBeUndefined();
      await record(audit, 1);
      expect(await verified()).toMatchObject({ events: 1, findings: [expect.stringContaining('audit_chain')] });
    });

    it.each<[string, (table: string) => string[], string]>([
      [
        'a changed text',
        (t) => [`UPDATE ${t} SET actor = 'actor 9' WHERE place = 3`],
        'wrong: the event with the id 4 is not the one',
      ],
      [
        'a text that was taken away',
        (t) => [`UPDATE ${t} SET detail = NULL WHERE place = 3`],
        'wrong: the event with the id 4 is not the one',
      ],
      [
        'a changed text, with a salt of zeros',
        (t) => [
          `UPDATE ${t} SET actor = 'mallory', salt = (SELECT substr(link, 1, 16) FROM ${t.replace('audit_event', 'audit_chain')})
           WHERE place = 3`,
        ],
        'wrong: the event with the id 4 is not the one',
      ],
      [
        'another time',
        (t) => [`UPDATE ${t} SET time = time + 1 WHERE place = 3`],
        'wrong: the event with the id 4 is not the one',
      ],
      ['another id', (t) => [`UPDATE ${t} SET id = 99 WHERE place = 3`], 'wrong: the event with the id'],
      [
        'a removed event',
        (t) => [`DELETE FROM ${t} WHERE place = 3`],
        'missing: 1 of the events before the one with the id 5',
      ],
      [
        'a removed event, with the rest moved up',
        (t) => [
          `DELETE FROM ${t} WHERE place = 3`,
          ...[4, 5, 6, 7].map((place) => `UPDATE ${t} SET place = ${place - 1} WHERE place = ${place}`),
        ],
        'wrong: the event with the id 5 is not the one',
      ],
      [
        'the first ones removed',
        (t) => [`DELETE FROM ${t} WHERE place < 3`],
        'missing: 3 of the events before the one with the id 4',
      ],
      ['the last ones removed', (t) => [`DELETE FROM ${t} WHERE place > 5`], 'missing: the newest 2 events'],
      ['all removed', (t) => [`DELETE FROM ${t}`], 'missing: the newest 8 events'],
      [
        'two in each other’s place',
        (t) => [
          `UPDATE ${t} SET place = 99 WHERE place = 3`,
          `UPDATE ${t} SET place = 3 WHERE place = 4`,
          `UPDATE ${t} SET place = 4 WHERE place = 99`,
        ],
        'wrong: the event with the id 5 is not the one',
      ],
      [
        'an event made up',
        (t) => [`INSERT INTO ${t} (time, type, count, place) VALUES (5, 'limit_hit', 1, 8)`],
        'wrong: what proves the event with the id 9 cannot be read',
      ],
      [
        'a leaf of another event',
        (t) => [`UPDATE ${t} SET leaf = (SELECT leaf FROM ${t} WHERE place = 2) WHERE place = 3`],
        'wrong: the event with the id 4',
      ],
      [
        'a link of another event',
        (t) => [`UPDATE ${t} SET link = (SELECT link FROM ${t} WHERE place = 2) WHERE place = 3`],
        'wrong: the event with the id 4 does not follow',
      ],
    ])('finds %s', async (_what, statements, finding) => {
      const audit = await open();
      await record(audit, 8);
      const head = await headOf(audit);
      let table = '';
      await home.change((each) => {
        table = each('audit_event');
        return 'SELECT 1';
      });
      for (const statement of statements(table)) await home.change(() => statement);
      const { findings } = await verified([head]);
      expect(findings[0]).toContain(finding);
    });

    it('finds a chain that was made anew as a whole by its checkpoints alone', async () => {
      const audit = await open();
      await record(audit, 4);
      const head = await headOf(audit);
      await home.change((table) => `DELETE FROM ${table('audit_event')}`);
      await record(audit, 4);
      expect((await verified()).findings).toEqual([]);
      expect((await verified([head])).findings).toEqual([
        expect.stringMatching(/^wrong: the events up to id \d+ are not those that a checkpoint signs \(kept\)$/),
      ]);
    });
  });
}
