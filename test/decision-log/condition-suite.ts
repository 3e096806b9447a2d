import { describe, expect, it } from 'vitest';
import type { Entity, Json, JsonObject } from '../../src/core/request.js';
import { currentSemantics } from '../../src/core/semantics.js';
import type { DecisionLog } from '../../src/decision-log/decision-log.js';
import type { DecisionQuery } from '../../src/decision-log/decision-query.js';
import type { DecisionRecord, NewDecisionRecord } from '../../src/decision-log/decision-record.js';
import type { RecordedVersions } from '../../src/decision-log/recorded-entities.js';
import { versionNotFound } from '../../src/errors.js';
import { ArchivedEntities } from '../../src/policy-store/archive/archived-entities.js';
import { loadPolicySet } from '../../src/policy-store/load-policy-set.js';
import type { ServedPolicySet } from '../../src/policy-store/served-policy-set.js';
import { exampleRecord, noon } from './example-records.js';
import type { MakeLogHome } from './log-home.js';

const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
`;

interface StoredPerson {
  readonly department?: string;
  readonly level?: number;
  readonly ssn?: string;
  readonly grade?: string;
}

/** A version of the set `invoices`. */
async function loaded(files: Readonly<Record<string, string>>): Promise<ServedPolicySet> {
  const all = { 'model.conf': model, 'rules.csv': 'p, alice, 1, approve\n', ...files };
  const list = Object.entries(all).map(([path, text]) => ({ path, bytes: Buffer.from(text) }));
  return (await loadPolicySet({ name: 'invoices', files: list })).served;
}

/** One with other people than the others, and with secrets of theirs. */
function versionWith(people: Readonly<Record<string, StoredPerson>>, manifest = ''): Promise<ServedPolicySet> {
  const entities = Object.entries(people).map(([id, attributes]) => ({ type: 'user', id, attributes }));
  return loaded({
    'entities.json': JSON.stringify(entities),
    'policy-set.yaml': `decisionLog: { mask: [/subject/attributes/ssn], drop: [/subject/attributes/grade] }\n${manifest}`,
  });
}

/** As the policy store has them. `served` serves now; a version that is not among them is no longer in the archive. */
function versionsOf(sets: readonly ServedPolicySet[], served = sets.at(-1)!): RecordedVersions & { loads: number } {
  const versions = new ArchivedEntities({
    version: async (name, version) => {
      if (version !== served.version) found.loads++;
      const set = sets.find((each) => each.version === version);
      if (set === undefined) throw versionNotFound(name, version);
      return set;
    },
    servedVersion: () => served.version,
  });
  const found = Object.assign(versions, { loads: 0 });
  return found;
}

interface Asked {
  readonly subject?: Entity;
  readonly resource?: Entity;
  readonly attributes?: JsonObject;
}

/** The record that the decision point would make of a request to this version. */
function recordOf(log: DecisionLog, n: number, set: ServedPolicySet, asked: Asked): NewDecisionRecord {
  const { subject = { type: 'user', id: 'ana' }, resource = { type: 'invoice', id: String(n) }, attributes } = asked;
  const request = { subject, action: { name: 'approve' }, resource, ...(attributes !== undefined && { attributes }) };
  const stored = set.mask(request);
  return {
    ...exampleRecord(log, { now: noon + n, decision: n % 3 === 0 ? 'deny' : 'allow' }),
    semantics: currentSemantics,
    policyVersion: set.version,
    request: stored,
    ...(stored !== request && { masked: true as const }),
  };
}

async function pagesOf(log: DecisionLog, query: DecisionQuery, versions: RecordedVersions) {
  const items: DecisionRecord[] = [];
  let erred = 0;
  let pages = 0;
  let cursor: string | undefined;
  do {
    const page = await log.search(cursor === undefined ? query : { ...query, cursor }, { versions });
    items.push(...page.items);
    erred += page.erred ?? 0;
    cursor = page.nextCursor;
    pages++;
  } while (cursor !== undefined);
  return { items, erred, pages, times: items.map(({ time }) => Date.parse(time) - noon) };
}

/** Repeats one run for a seed. */
function randomBelow(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
}

/** What the evaluation saw, as the tests put it together on their own. `undefined` is missing, or masked. */
interface Seen {
  readonly id: string;
  readonly department: Json | undefined;
  readonly level: Json | undefined;
  readonly amount: Json | undefined;
  readonly decision: string;
  readonly tenant: Json | undefined;
}

type Truth = boolean | 'erred';
interface Term {
  readonly text: string;
  readonly holds: (seen: Seen) => Truth;
}

const compared =
  (read: (seen: Seen) => Json | undefined, test: (value: never) => boolean, type?: string) =>
  (seen: Seen): Truth => {
    const value = read(seen);
    if (value === undefined || (type !== undefined && typeof value !== type)) return 'erred';
    return test(value as never);
  };

const terms: readonly Term[] = [
  {
    text: "subject.department == 'finance'",
    holds: compared(
      (s) => s.department,
      (v) => v === 'finance',
    ),
  },
  {
    text: "subject.attributes.department != 'sales'",
    holds: compared(
      (s) => s.department,
      (v) => v !== 'sales',
    ),
  },
  {
    text: 'subject.level > 2',
    holds: compared(
      (s) => s.level,
      (v: number) => v > 2,
      'number',
    ),
  },
  {
    text: 'resource.amount > 500',
    holds: compared(
      (s) => s.amount,
      (v: number) => v > 500,
      'number',
    ),
  },
  { text: "decision == 'allow'", holds: ({ decision }) => decision === 'allow' },
  { text: 'has(attributes.tenant)', holds: ({ tenant }) => tenant !== undefined },
  {
    text: "attributes.tenant == 'acme'",
    holds: compared(
      (s) => s.tenant,
      (v) => v === 'acme',
    ),
  },
  { text: "subject in ('ana', 'ben')", holds: ({ id }) => id === 'ana' || id === 'ben' },
  { text: "subject.ssn == '078-05-1120'", holds: () => 'erred' },
  { text: "subject.grade == 'a'", holds: () => 'erred' },
];

function randomCondition(below: (bound: number) => number, depth: number): Term {
  if (depth === 0 || below(3) === 0) return terms[below(terms.length)]!;
  const left = randomCondition(below, depth - 1);
  const right = randomCondition(below, depth - 1);
  switch (below(3)) {
    case 0:
      return {
        text: `(${left.text} && ${right.text})`,
        holds: (seen) => (left.holds(seen) === true ? right.holds(seen) : left.holds(seen)),
      };
    case 1:
      return {
        text: `(${left.text} || ${right.text})`,
        holds: (seen) => (left.holds(seen) === false ? right.holds(seen) : left.holds(seen)),
      };
    default:
      return {
        text: `!(${left.text})`,
        holds: (seen) => {
          const truth = left.holds(seen);
          return truth === 'erred' ? truth : !truth;
        },
      };
  }
}

/** Records are chosen by conditions, and shown as the evaluation saw them. */
export function describeConditions(newHome: MakeLogHome): void {
  describe('a condition over records', () => {
    it('finds what a plain evaluation of all records finds, on random logs, over pages, and in exports', async () => {
      const versions = await Promise.all([
        versionWith({ ana: { department: 'finance', level: 3, ssn: '078-05-1120', grade: 'a' }, ben: { level: 1 } }),
        versionWith({ ana: { department: 'sales' }, ben: { department: 'finance', level: 5 } }),
        versionWith({ ana: { department: 'finance', level: 2 } }, 'entities: { precedence: request }\n'),
      ]);
      const known = versionsOf(versions);
      const below = randomBelow(20_261_129);
      for (let run = 0; run < 3; run++) {
        const log = await newHome().start();
        const seen: Seen[] = [];
        for (let n = 0; n < 120; n++) {
          const at = below(versions.length);
          const id = ['ana', 'ben', 'eve'][below(3)]!;
          const sent: StoredPerson = {
            ...(below(2) === 0 && { department: ['finance', 'sales'][below(2)]! }),
            ...(below(4) === 0 && { level: below(6) }),
          };
          const amount = [undefined, 100, 900, '900'][below(4)];
          const tenant = [undefined, 'acme'][below(2)];
          const isTyped = below(2) === 0;
          await log.append(
            recordOf(log, n, versions[at]!, {
              subject: { ...(isTyped && { type: 'user' }), id, attributes: sent as JsonObject },
              resource: { type: 'invoice', id: String(n), ...(amount !== undefined && { attributes: { amount } }) },
              ...(tenant !== undefined && { attributes: { tenant } }),
            }),
          );
          const stored = [
            { ana: { department: 'finance', level: 3 }, ben: { level: 1 } },
            { ana: { department: 'sales' }, ben: { department: 'finance', level: 5 } },
            { ana: { department: 'finance', level: 2 } },
          ][at] as Record<string, StoredPerson>;
          const merged = at === 2 ? { ...stored[id], ...sent } : { ...sent, ...stored[id] };
          seen.push({
            id,
            department: merged.department,
            level: merged.level,
            amount,
            tenant,
            decision: n % 3 === 0 ? 'deny' : 'allow',
          });
        }
        for (let i = 0; i < 12; i++) {
          const { text, holds } = randomCondition(below, 3);
          const found = await pagesOf(log, { filter: text, limit: 25 }, known);
          const wanted = seen.flatMap((each, n) => (holds(each) === true ? [n] : [])).reverse();
          expect(found.times, text).toEqual(wanted);
          expect(found.erred, text).toBe(seen.filter((each) => holds(each) === 'erred').length);

          const denied = await pagesOf(log, { filter: text, decision: 'deny', limit: 11 }, known);
          expect(denied.times, text).toEqual(wanted.filter((n) => n % 3 === 0));
          let exported = '';
          for await (const piece of log.export({ filter: text }, { versions: known })) exported += piece;
          const lines = exported
            .split('\n')
            .slice(0, -1)
            .map((line) => JSON.parse(line));
          expect(lines.filter(({ id }) => id !== undefined)).toEqual(found.items);
          expect(lines.filter(({ id }) => id === undefined)).toEqual(found.erred > 0 ? [{ erred: found.erred }] : []);
        }
      }
      // Each version once, however many records name it.
      expect(known.loads).toBe(2);
    });

    it('says how far it read where a page ends before it is full, and goes on from there', async () => {
      const set = await versionWith({});
      const log = await newHome().start();
      const dear = Array.from({ length: 12 }, (_, i) => `regexMatch(attributes.text, '${'a'.repeat(i)}b')`).join(
        ' || ',
      );
      const text = 'a'.repeat(200);
      for (let n = 0; n < 3_000; n += 500) {
        const records = Array.from({ length: 500 }, (_, i) =>
          recordOf(log, n + i, set, { attributes: { text: (n + i) % 1_500 === 0 ? `${text}b` : text } }),
        );
        await Promise.all(records.map((record) => log.append(record)));
      }
      const first = await log.search({ filter: dear, limit: 10 }, { versions: versionsOf([set]) });
      expect(first.nextCursor).toBeDefined();
      expect(Date.parse(first.searchedTo!)).toBeGreaterThan(noon);
      expect(first.items.every(({ time }) => time >= first.searchedTo!)).toBe(true);
      const { times, erred, pages } = await pagesOf(log, { filter: dear, limit: 10 }, versionsOf([set]));
      expect({ times, erred }).toEqual({ times: [1_500, 0], erred: 0 });
      expect(pages).toBeGreaterThan(2);
    });

    it('shows entities as the version of that time had them, masked by its masks and by those that serve now', async () => {
      const then = await versionWith({ ana: { department: 'finance', ssn: '078-05-1120', grade: 'a', level: 3 } });
      const now = await versionWith({ ana: { department: 'board' } });
      const serving = await loaded({ 'policy-set.yaml': 'decisionLog: { mask: [/subject/attributes/level] }\n' });
      const log = await newHome().start();
      await log.append(
        recordOf(log, 0, then, {
          subject: { id: 'ana', attributes: { level: 9, password: 'p', room: 1 } },
          resource: { id: '42' },
        }),
      );
      await log.append(recordOf(log, 1, now, { subject: { type: 'user', id: 'ana' } }));
      const scope = { versions: versionsOf([then, now, serving]) };
      const { items } = await log.search({ expand: 'resolved' }, scope);
      expect(items.map(({ resolved }) => resolved)).toEqual([
        {
          subject: { type: 'user', id: 'ana', attributes: { department: 'board' } },
          action: { name: 'approve' },
          resource: { type: 'invoice', id: '1' },
        },
        {
          subject: {
            type: 'user',
            id: 'ana',
            attributes: { level: '[masked]', password: '[masked]', room: 1, department: 'finance', ssn: '[masked]' },
          },
          action: { name: 'approve' },
          resource: { id: '42' },
        },
      ]);
      expect((await log.search({}, scope)).items.every((record) => !('resolved' in record))).toBe(true);
      let exported = '';
      for await (const piece of log.export({ expand: 'resolved' }, scope)) exported += piece;
      expect(
        exported
          .split('\n')
          .slice(0, -1)
          .map((line) => JSON.parse(line)),
      ).toEqual(items);
      let table = '';
      for await (const piece of log.export({ expand: 'resolved', format: 'csv' }, scope)) table += piece;
      expect(table.split('\r\n')[0]).toMatch(/,disputed,resolved$/);
      expect(table).not.toContain('078-05-1120');
    });

    it('says plainly where stored attributes are not known, and matches nothing on those of the request then', async () => {
      const gone = await versionWith({ ana: { department: 'finance' } });
      const twins = await loaded({ 'entities.yaml': '[{type: user, id: ana}, {type: robot, id: ana}]' });
      const log = await newHome().start();
      const subject = { id: 'ana', attributes: { department: 'finance' } };
      await log.append(recordOf(log, 0, gone, { subject: { ...subject, type: 'user' } }));
      await log.append(recordOf(log, 1, twins, { subject }));
      const versions = versionsOf([twins]);
      const { items } = await log.search({ expand: 'resolved' }, { versions });
      expect(items.map(({ resolved }) => resolved!.unresolved)).toEqual([
        'ambiguous_entity',
        'policy_version_not_found',
      ]);
      expect(items[1]!.resolved!.subject).toEqual({ type: 'user', ...subject });
      expect(await pagesOf(log, { filter: "subject.department == 'finance'" }, versions)).toMatchObject({
        items: [],
        erred: 2,
      });
      expect((await pagesOf(log, { filter: "subject == 'ana'" }, versions)).times).toEqual([1, 0]);
    });

    it('a masked attribute cannot be guessed by asking', async () => {
      const set = await versionWith({ ana: { ssn: '078-05-1120', grade: 'a', department: 'finance' } });
      const log = await newHome().start();
      await log.append(recordOf(log, 0, set, {}));
      await log.append(
        recordOf(log, 1, set, {
          subject: { type: 'user', id: 'eve', attributes: { ssn: '078-05-1121', token: 'xyz' } },
          attributes: { list: [{ apiKey: 'k' }, 'plain'], secret: { part: 'k' } },
        }),
      );
      const versions = versionsOf([set]);
      for (const guess of ['078-05-1120', '078-05-1121', '[masked]', 'a', 'xyz', 'k']) {
        for (const text of [
          `subject.ssn == '${guess}'`,
          `subject.ssn != '${guess}'`,
          `subject.attributes.ssn == '${guess}'`,
          `subject.ssn in ('${guess}', 'b')`,
          `regexMatch(subject.ssn, '^${guess.replace(/[[\]]/g, '.')}')`,
          `subject.ssn < '${guess}'`,
          `subject.grade == '${guess}'`,
          `subject.token == '${guess}'`,
          `subject.attributes == '${guess}'`,
          `'${guess}' in attributes.list`,
          `attributes.secret == '${guess}'`,
          `attributes.secret.part == '${guess}'`,
          `attributes == '${guess}'`,
        ]) {
          const { items, erred } = await log.search({ filter: text }, { versions });
          expect({ items: items.length, erred }, text).toEqual({ items: 0, erred: 2 });
        }
      }
    });

    it('a cursor belongs to its condition, and a text that is no condition is refused by its place', async () => {
      const set = await versionWith({});
      const log = await newHome().start();
      for (let n = 0; n < 3; n++) await log.append(recordOf(log, n, set, {}));
      const versions = versionsOf([set]);
      const { nextCursor } = await log.search({ filter: "action == 'approve'", limit: 1 }, { versions });
      for (const query of [
        { cursor: nextCursor!, filter: "action == 'read'" },
        { cursor: nextCursor! },
        { filter: 'subject.level >' },
      ]) {
        await expect(log.search(query, { versions })).rejects.toMatchObject({ code: 'invalid_request' });
      }
      expect(() => log.export({ filter: 'subject.level >' }, { versions })).toThrow(/filter is no condition/);
    });
  });
}
