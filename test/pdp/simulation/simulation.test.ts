/** A simulation says what deciding one by one says, on a log in files, in PostgreSQL, and exported. */
import { randomBytes } from 'node:crypto';
import { getEventListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { DecisionLog } from '../../../src/decision-log/decision-log.js';
import type { NewDecisionRecord } from '../../../src/decision-log/decision-record.js';
import { commonMembers, groupText, recordsOf } from '../../../src/decision-log/group-text.js';
import { compileMask } from '../../../src/decision-log/mask.js';
import { commonTexts, recordTexts } from '../../../src/decision-log/record-texts.js';
import { EncryptionKeys } from '../../../src/encryption/encryption-keys.js';
import type { Assignment, Missing, SetContent } from '../../../src/pdp/simulation/messages.js';
import { portionsOfGroups, portionsOfLines } from '../../../src/pdp/simulation/portions.js';
import { SimulatedSet } from '../../../src/pdp/simulation/simulated-set.js';
import { gateCount, resultOf, type SimulationResult } from '../../../src/pdp/simulation/simulation-result.js';
import {
  runSimulation,
  type SimulationSource,
  UnreadableExport,
  until,
} from '../../../src/pdp/simulation/simulation-run.js';
import { SimulationTally } from '../../../src/pdp/simulation/simulation-tally.js';
import { Simulator } from '../../../src/pdp/simulation/simulator.js';
import { type PolicyFile, versionOf } from '../../../src/policy-store/policy-set-files.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { exampleRecord, noon } from '../../decision-log/example-records.js';
import type { LogHome } from '../../decision-log/log-home.js';
import { sharedHome, startReplica } from '../../decision-log/postgres/shared-home.js';
import { sqliteHome, temporaryDirectory } from '../../decision-log/temporary-log.js';
import { Random, randomRequest, randomWorld } from './random-worlds.js';

const server = postgresForTests();
const kinds: readonly (readonly [string, () => LogHome, boolean])[] = [
  ['SQLite', () => sqliteHome(), true],
  ['PostgreSQL', () => sharedHome(server), hasPostgres],
];

const mask = compileMask({ mask: ['/subject/attributes/ssn'], drop: ['/attributes/trace'] });

/** What the set answered, as the PDP would record it. */
function recordOf(
  log: Pick<DecisionLog, 'nextId'>,
  files: readonly PolicyFile[],
  set: SimulatedSet,
  request: NewDecisionRecord['request'],
  now: number,
): NewDecisionRecord {
  const { decision, reason, obligations, errors } = set.decide(request, now);
  const stored = mask(request);
  return {
    ...exampleRecord(log, { now, policySet: 'set' }),
    policyVersion: versionOf(files),
    request: stored,
    ...(stored !== request && { masked: true as const }),
    decision,
    reason,
    obligations,
    errors,
  };
}

function simulate(
  portions: SimulationSource['portions'],
  candidate: readonly PolicyFile[],
  versions: ReadonlyMap<string, SetContent | Missing>,
  more: Partial<Assignment & { threads: number; signal: AbortSignal }> = {},
): Promise<SimulationResult> {
  const source = {
    portions,
    version: async (version: string) => versions.get(version) ?? ('policy_version_not_found' as const),
  };
  return runSimulation(source, {
    policySet: 'set',
    candidate: { files: candidate },
    from: undefined,
    to: undefined,
    filter: undefined,
    threads: 2,
    memoryMb: 512,
    signal: new AbortController().signal,
    ...more,
  }).then((run) => resultOf(run, { policySet: 'set', candidate: versionOf(candidate) }));
}

/** The same in this thread. */
async function simulateHere(
  portions: SimulationSource['portions'],
  candidate: readonly PolicyFile[],
  versions: ReadonlyMap<string, SetContent | Missing>,
  policySet: string,
): Promise<SimulationResult> {
  const assignment = {
    policySet,
    candidate: { files: candidate },
    from: undefined,
    to: undefined,
    filter: undefined,
  };
  const simulator = new Simulator(assignment, async (version) => versions.get(version) ?? 'policy_version_not_found');
  for await (const { portion } of portions()) {
    if (portion?.kind === 'groups') await simulator.takeGroups(portion.groups);
  }
  const run = { tally: simulator.tally.parts, isCancelled: false };
  return resultOf(run, { policySet: 'set', candidate: versionOf(candidate) });
}

/** The same, one record after the other, by the engine alone. */
function oneByOne(
  records: readonly { readonly record: NewDecisionRecord; readonly request: NewDecisionRecord['request'] }[],
  candidate: SimulatedSet,
) {
  const counts = { gained: 0, lost: 0, errorsAppeared: 0, errorsGone: 0 };
  const byRule = new Map<string, number>();
  let hidden = 0;
  for (const { record, request } of records) {
    // What the masks hide decides nothing where the answer is the same whatever it is.
    const answer = candidate.decide(request, record.clock);
    const isMasked = record.masked === true && readsHidden(candidate, record, request);
    if (isMasked) {
      hidden++;
      continue;
    }
    const key = (errors: typeof answer.errors) => new Set(errors.map(({ code, rule }) => JSON.stringify([code, rule])));
    const [old, current] = [key(record.errors), key(answer.errors)];
    if ([...current].some((each) => !old.has(each))) counts.errorsAppeared++;
    if ([...old].some((each) => !current.has(each))) counts.errorsGone++;
    if (answer.decision === record.decision) continue;
    const kind = answer.decision === 'allow' ? 'gain' : 'loss';
    counts[kind === 'gain' ? 'gained' : 'lost']++;
    const rules = JSON.stringify([kind, named(record.reason), named(answer.reason)]);
    byRule.set(rules, (byRule.get(rules) ?? 0) + 1);
  }
  return { counts, byRule, hidden };
}

const named = ({ code, rule, line }: Pick<NewDecisionRecord['reason'], 'code' | 'rule' | 'line'>) => [code, rule, line];

/** Whether an answer can hang on what is hidden: by trying other values in its place. */
function readsHidden(set: SimulatedSet, record: NewDecisionRecord, request: NewDecisionRecord['request']): boolean {
  const { ssn } = request.subject.attributes ?? {};
  if (ssn === undefined) return false;
  const answers = ['x', 'y', 5].map((value) => {
    const subject = { ...request.subject, attributes: { ...request.subject.attributes, ssn: value } };
    return JSON.stringify(set.decide({ ...request, subject }, record.clock));
  });
  return new Set(answers).size > 1;
}

describe.each(kinds)('a log in %s', (_, home, isThere) => {
  it.skipIf(!isThere)(
    'is simulated as it is decided one by one',
    async () => {
      const place = home();
      const log = await place.start();
      for (let seed = 1; seed <= 12; seed++) {
        const random = new Random(seed);
        const policySet = `set-${seed}`;
        const { before, after } = randomWorld(random);
        const [set, candidate] = [SimulatedSet.of({ files: before }), SimulatedSet.of({ files: after })];
        const records = Array.from({ length: 400 }, (_, n) => {
          const request = randomRequest(random);
          // A new day would be a new file; the clock can be another.
          const clock = n % 2 === 0 ? noon : noon + n * 3_600_000;
          return {
            request,
            record: { ...recordOf(log, before, set, request, clock), time: noon, id: log.nextId(noon), policySet },
          };
        });
        for (let n = 0; n < records.length; n += 16)
          await Promise.all(records.slice(n, n + 16).map(({ record }) => log.append(record)));
        await place.shared(log);
        const versions = new Map([[versionOf(before), { files: before }]]);
        const expected = oneByOne(records, candidate);
        const groups = () => portionsOfGroups(log.groups({ policySet }, 0));
        const lines = () => portionsOfLines(log.export({ format: 'ndjson' }));
        const results = [await simulateHere(groups, after, versions, policySet)];
        // Threads take as long to begin as all the rest.
        if (seed <= 2) {
          results.push(
            await simulate(groups, after, versions, { policySet }),
            await simulate(lines, after, versions, { policySet }),
          );
        }
        for (const result of results) {
          const masked = result.leftOut.find(({ cause }) => cause === 'masked')?.count ?? 0;
          expect(result.leftOut.filter(({ cause }) => cause !== 'masked')).toEqual([]);
          expect(masked).toBeGreaterThanOrEqual(expected.hidden);
          expect(result.answered + masked).toBe(records.length);
          if (masked > expected.hidden) continue;
          expect(result, `seed ${seed}`).toMatchObject(expected.counts);
          const byRule = new Map<string, number>();
          for (const { kind, before: old, after: now, count } of result.rules) {
            if (kind !== 'gain' && kind !== 'loss') continue;
            byRule.set(JSON.stringify([kind, named(old), named(now)]), count);
          }
          expect(byRule).toEqual(expected.byRule);
          const accessed = result.access.filter(({ kind }) => kind === 'gain' || kind === 'loss');
          expect(accessed.reduce((sum, { count }) => sum + count, 0)).toBe(result.gained + result.lost);
        }
      }
    },
    120_000,
  );
});

/** P9. */
describe('a damaged log', () => {
  it('wherever a text is damaged, each of its records is answered or counted as unreadable', async () => {
    const log = await logOf(() => []);
    const records = ['ann', 'bob', 'ann', 'cy', 'ann', 'bob'].map((subject) => decided(log, subject));
    const common = commonMembers(records[0]!);
    const textOf = (some: typeof records) =>
      groupText(
        common,
        7,
        some.map((record) => recordTexts(record, commonTexts(common), true).line),
      );
    const one = textOf(records);
    const several = [records.slice(0, 2), records.slice(2, 3), records.slice(3)].map(textOf).join('\n');
    const assignment = { policySet: 'set', candidate: { files: after }, from: noon, to: noon + 1, filter: undefined };
    for (const text of [one, several]) {
      for (const bytes of [1, 40, 700]) {
        for (let at = 0; at < text.length; at += bytes === 1 ? 1 : 7) {
          const changed = `${text.slice(0, at)}${'\0'.repeat(bytes)}${text.slice(at + bytes)}`.slice(0, text.length);
          const simulator = new Simulator(assignment, async () => ({ files: before }));
          await simulator.takeGroups([{ first: 1, count: 6, records: changed }]);
          const { answered, leftOut } = simulator.tally.parts;
          const unreadable = leftOut.get('unreadable')?.count ?? 0;
          expect(answered + unreadable, `${bytes} bytes at ${at}`).toBe(6);
          const readable = [...recordsOf({ first: 1, count: 6, records: changed }, [], () => undefined)];
          expect(answered, `${bytes} bytes at ${at}`).toBeGreaterThanOrEqual(readable.length);
        }
      }
    }
  });

  it.each(['{"policySet":5}', 'null', '5', '', '{}', '{"policySet":"set"}'])(
    'counts the records behind %j, which nobody can be said to share',
    async (shared) => {
      const log = await logOf(() => []);
      const records = [decided(log, 'bob'), decided(log, 'ann')];
      const common = commonMembers(records[0]!);
      const lines = records.map((record) => recordTexts(record, commonTexts(common), true).line);
      const assignment = { policySet: 'set', candidate: { files: after }, from: undefined, to: undefined };
      for (const count of [2, undefined]) {
        const simulator = new Simulator({ ...assignment, filter: undefined }, async () => ({ files: before }));
        const group = { first: 1, ...(count !== undefined && { count }), records: [shared, ...lines].join('\n') };
        await simulator.takeGroups([group]);
        expect(simulator.tally.parts).toMatchObject({ answered: 0 });
        expect(simulator.tally.parts.leftOut.get('unreadable')?.count).toBe(2);
      }
    },
  );

  it.skipIf(!hasPostgres)('counts the records of a row that cannot be decrypted', async () => {
    const url = await server().createDatabase();
    const encryption = EncryptionKeys.of(randomBytes(32).toString('base64'));
    const log = await startReplica(url, temporaryDirectory(), { encryption });
    await Promise.all(['bob', 'ann', 'cy'].map((subject) => log.append(decided(log, subject))));
    await log.shipped();
    const portions = () => portionsOfGroups(log.groups({ policySet: 'set' }, 0));
    expect(await simulate(portions, after, known)).toMatchObject({ complete: true, answered: 3 });
    await log.append(decided(log, 'bob'));
    await log.shipped();
    const database = openDatabase(url);
    const table = database.table('decision_group');
    await database.write(`UPDATE ${table} SET sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1) WHERE first = 1`);
    const [row] = await database.query<{ count: number }>(`SELECT count FROM ${table} WHERE first = 1`);
    expect(await simulate(portions, after, known)).toMatchObject({
      complete: false,
      answered: 4 - row!.count,
      leftOut: [{ cause: 'unreadable', count: row!.count }],
    });
  });
});

const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
`;

function filesOf(rules: string, manifest?: string, own = model): readonly PolicyFile[] {
  const texts = {
    'model.conf': own,
    ...(manifest !== undefined && { 'policy-set.yaml': manifest }),
    'rules.csv': rules,
  };
  return Object.freeze(Object.entries(texts).map(([path, text]) => ({ path, bytes: Buffer.from(text) })));
}

const before = filesOf('p, ann, doc, read\np, bob, doc, read\n');
const after = filesOf('p, ann, doc, read\np, cy, doc, read\n');

async function logOf(records: (log: DecisionLog) => readonly NewDecisionRecord[]) {
  const log = await sqliteHome().start();
  for (const record of records(log)) await log.append(record);
  onTestFinished(() => log.stop());
  return log;
}

const asked = (subject: string) => ({
  subject: { type: 'user', id: subject },
  action: { name: 'read' },
  resource: { type: 'doc', id: 'doc' },
});

const decided = (
  log: DecisionLog,
  subject: string,
  more: Partial<NewDecisionRecord> = {},
  now = noon,
): NewDecisionRecord => ({
  ...recordOf(log, before, SimulatedSet.of({ files: before }), asked(subject), now),
  ...more,
});

const known = new Map([[versionOf(before), { files: before }]]);

describe('a simulation', () => {
  it('says who gains and who loses what, by which rules, with examples', async () => {
    const log = await logOf((to) => ['ann', 'bob', 'cy', 'bob', 'dee'].map((subject) => decided(to, subject)));
    const result = await simulate(() => portionsOfGroups(log.groups({ policySet: 'set' }, 0)), after, known);
    expect(result).toMatchObject({
      complete: true,
      answered: 5,
      changed: 3,
      gained: 1,
      lost: 2,
      leftOut: [],
      unchecked: [],
    });
    expect(result.rules).toEqual([
      {
        kind: 'loss',
        before: {
          decision: 'allow',
          code: 'rule_allowed',
          rule: ['p', 'bob', 'doc', 'read'],
          file: 'rules.csv',
          line: 2,
        },
        after: { decision: 'deny', code: 'no_matching_rule' },
        count: 2,
        examples: [expect.any(String), expect.any(String)],
      },
      {
        kind: 'gain',
        before: { decision: 'deny', code: 'no_matching_rule' },
        after: {
          decision: 'allow',
          code: 'rule_allowed',
          rule: ['p', 'cy', 'doc', 'read'],
          file: 'rules.csv',
          line: 2,
        },
        count: 1,
        examples: [expect.any(String)],
      },
    ]);
    const [loss] = result.rules;
    for (const id of loss!.examples) expect((await log.find(id))?.request.subject.id).toBe('bob');
    expect(result.access).toMatchObject([
      {
        kind: 'loss',
        subject: { type: 'user', id: 'bob' },
        action: 'read',
        resource: { type: 'doc', id: 'doc' },
        count: 2,
      },
      { kind: 'gain', subject: { type: 'user', id: 'cy' }, count: 1 },
    ]);
    expect(result.subjects).toEqual([
      { type: 'user', name: 'bob', gained: 0, lost: 2 },
      { type: 'user', name: 'cy', gained: 1, lost: 0 },
    ]);
    expect(gateCount(result, ['gain', 'loss'])).toBe(3);
  });

  it('leaves out decisions of other times and sets', async () => {
    const log = await logOf((to) => [
      decided(to, 'bob', {}, noon),
      decided(to, 'bob', {}, noon + 1_000),
      decided(to, 'bob', {}, noon + 2_000),
      decided(to, 'bob', { policySet: 'another' }, noon + 1_000),
    ]);
    const times = { from: noon + 1_000, to: noon + 2_000 };
    for (const portions of [
      () => portionsOfGroups(log.groups({ policySet: 'set', ...times }, 0)),
      () => portionsOfLines(log.export({ format: 'ndjson' })),
    ]) {
      const result = await simulate(portions, after, known, times);
      expect(result).toMatchObject({
        answered: 1,
        lost: 1,
        since: '2026-11-21T12:00:01.000Z',
        until: '2026-11-21T12:00:01.000Z',
      });
    }
  });

  it('counts apart what cannot be answered again, and is not complete then', async () => {
    const erased = { erasures: [{ id: 'e-1', time: '2026-11-22T00:00:00Z' }], parts: [] } as unknown as NonNullable<
      NewDecisionRecord['erased']
    >;
    const search = { kind: 'subject', examined: 1, complete: true, results: ['ann'] } as const;
    const log = await logOf((to) => [
      decided(to, 'ann'),
      decided(to, 'bob', { erased }),
      decided(to, 'bob', { search }),
      decided(to, 'bob', { semantics: 99 }),
      // It was answered otherwise than its version answers.
      decided(to, 'dee', { decision: 'allow', reason: { code: 'rule_allowed' } }),
      decided(to, 'bob', { masked: true, request: { ...asked('bob'), subject: { id: '[masked]' } } }),
    ]);
    const result = await simulate(() => portionsOfGroups(log.groups({ policySet: 'set' }, 0)), after, known);
    expect(result).toMatchObject({ complete: false, answered: 1, changed: 0 });
    expect(result.leftOut.map(({ cause, count }) => [cause, count])).toEqual([
      ['masked', 1],
      ['erased', 1],
      ['drifted', 1],
      ['search', 1],
      ['not_replayable', 1],
    ]);
    for (const { examples } of result.leftOut) expect(examples).toHaveLength(1);
  });

  it('answers a masked record where the candidate reads nothing of what is hidden', async () => {
    const manifest = 'decisionLog: { mask: [/subject/attributes/ssn], drop: [/attributes/trace] }\n';
    const reading = model.replace(/^m = /m, "m = r.sub.ssn != 'x' && ");
    const withTrace = model
      .replace('r = sub, obj, act', 'r = sub, obj, act, env')
      .replace(/^m = /m, 'm = !has(r.env.trace) && ');
    const old = filesOf('p, bob, doc, read\n', manifest);
    const request = {
      ...asked('bob'),
      subject: { type: 'user', id: 'bob', attributes: { ssn: '[masked]' } },
      attributes: {},
    };
    const log = await logOf((to) => [
      { ...recordOf(to, old, SimulatedSet.of({ files: old }), request, noon), masked: true, request },
    ]);
    const versions = new Map([[versionOf(old), { files: old }]]);
    const on = (candidate: readonly PolicyFile[], from: ReadonlyMap<string, SetContent> = versions) =>
      simulate(() => portionsOfGroups(log.groups({ policySet: 'set' }, 0)), candidate, from);
    expect(await on(filesOf('p, ann, doc, read\n'))).toMatchObject({ complete: true, lost: 1 });
    expect(await on(filesOf('p, bob, doc, read\n', undefined, reading))).toMatchObject({
      answered: 0,
      leftOut: [{ cause: 'masked', count: 1 }],
    });
    expect(await on(filesOf('p, bob, doc, read\n', undefined, withTrace))).toMatchObject({
      leftOut: [{ cause: 'masked', count: 1 }],
    });
    // Without the version nobody knows what was left out.
    expect(await on(filesOf('p, ann, doc, read\n'), new Map())).toMatchObject({
      leftOut: [{ cause: 'masked', count: 1 }],
    });
  });

  it('asks with stored attributes as they were stored, also with those that the masks hide in the log', async () => {
    const manifest = 'decisionLog: { mask: [/subject/attributes/ssn] }\n';
    const entities = {
      path: 'entities.yaml',
      bytes: Buffer.from('- { type: user, id: bob, attributes: { ssn: 078-05-1120 } }\n'),
    };
    const stored = (condition: string) =>
      [
        ...filesOf('p, bob, doc, read\n', manifest, model.replace(/^m = /m, `m = r.sub.ssn ${condition} && `)),
        entities,
      ].sort((a, b) => (a.path < b.path ? -1 : 1));
    const [old, candidate] = [stored("== '078-05-1120'"), stored("!= '078-05-1120'")];
    const given = { ...asked('bob'), subject: { type: 'user', id: 'bob', attributes: { ssn: 'another' } } };
    // One whose request says nothing of it, and one whose request is masked: what is stored wins in both.
    const log = await logOf((to) =>
      [asked('bob'), given].map((request) => recordOf(to, old, SimulatedSet.of({ files: old }), request, noon)),
    );
    const versions = new Map([[versionOf(old), { files: old }]]);
    const on = (files: readonly PolicyFile[]) =>
      simulate(() => portionsOfGroups(log.groups({ policySet: 'set' }, 0)), files, versions);
    expect(await on(candidate)).toMatchObject({ complete: true, answered: 2, lost: 2, leftOut: [] });
    // Where nothing is stored, what is asked for is what the mask hides.
    const unstored = candidate.filter((file) => file !== entities);
    expect(await on(unstored)).toMatchObject({ answered: 1, leftOut: [{ cause: 'masked', count: 1 }] });
  });

  it('takes the live data that the version had, and leaves out what was decided with data that are gone', async () => {
    const manifest = 'data: { roles: [g] }\n';
    const withRoles = model
      .replace('[policy_effect]', '[role_definition]\ng = _, _\n[policy_effect]')
      .replace('r.sub == p.sub', 'g(r.sub, p.sub)');
    const old = filesOf('p, reader, doc, read\n', manifest, withRoles);
    const candidate = filesOf('p, reader, doc, read\np, guest, doc, read\n', manifest, withRoles);
    const dataOf = (role: string): SetContent => ({ files: old, data: { roles: [['g', 'bob', role]], entities: [] } });
    const versions = new Map<string, SetContent | Missing>([
      ['sha256:reader', dataOf('reader')],
      ['sha256:guest', dataOf('guest')],
      ['sha256:gone', 'live_data_not_kept'],
    ]);
    const log = await logOf((to) =>
      ['reader', 'guest', 'gone'].map((name) => {
        const content = versions.get(`sha256:${name}`)!;
        const set = SimulatedSet.of(typeof content === 'string' ? { files: old } : content);
        return { ...recordOf(to, old, set, asked('bob'), noon), policyVersion: `sha256:${name}` };
      }),
    );
    const result = await simulate(() => portionsOfGroups(log.groups({ policySet: 'set' }, 0)), candidate, versions);
    expect(result).toMatchObject({
      answered: 2,
      gained: 1,
      lost: 0,
      leftOut: [{ cause: 'live_data_not_kept', count: 1 }],
    });
  });

  it('is asked with all live data, however many there are', async () => {
    const manifest = 'data: { roles: [g], entities: [user] }\n';
    const withRoles = model
      .replace('[policy_effect]', '[role_definition]\ng = _, _\n[policy_effect]')
      .replace('r.sub == p.sub', 'g(r.sub, p.sub)');
    const old = filesOf('p, reader, doc, read\n', manifest, withRoles);
    const candidate = filesOf('p, guest, doc, read\n', manifest, withRoles);
    const names = Array.from({ length: 2_500 }, (_, n) => `user${n}`);
    const roles = names.map((name, n) => ['g', name, n % 2 === 0 ? 'reader' : 'guest'] as const);
    const entities = names.slice(0, 100).map((id) => ({ type: 'user', id, attributes: { level: 1 } }));
    const content: SetContent = { files: old, data: { roles, entities } };
    const set = SimulatedSet.of(content);
    const log = await logOf((to) =>
      names.slice(-40).map((name) => ({ ...recordOf(to, old, set, asked(name), noon), policyVersion: 'sha256:then' })),
    );
    const versions = new Map([['sha256:then', content]]);
    const result = await simulate(() => portionsOfGroups(log.groups({ policySet: 'set' }, 0)), candidate, versions);
    expect(result).toMatchObject({ complete: true, answered: 40, gained: 20, lost: 20, unchecked: [] });
  });

  it('counts changes of versions that are not kept, and says that they were not checked', async () => {
    const log = await logOf((to) => [decided(to, 'bob')]);
    const result = await simulate(() => portionsOfGroups(log.groups({ policySet: 'set' }, 0)), after, new Map());
    expect(result).toMatchObject({
      complete: true,
      lost: 1,
      unchecked: [{ cause: 'policy_version_not_found', count: 1 }],
    });
  });

  const later = noon + 1_000;
  const withCondition = model.replace('p = sub, obj, act', 'p = sub, obj, act, b, c');
  const whenLater = (term: string, own = model) => own.replace(/^(m = .*)$/m, `$1 && ${term}`);
  const roles = model.replace('r.sub == p.sub', 'g(r.sub, p.sub)');
  const conditionalRoles = (definition: string) =>
    roles.replace('[policy_effect]', `[role_definition]\n${definition}\n[policy_effect]`);
  const [, ...window] = `p, ${new Date(later).toISOString().slice(0, 19).replace('T', ' ')}, _`.split(', ');
  it.each<[string, readonly PolicyFile[]]>([
    [
      'a definition that escapes it',
      filesOf('p, bob, doc, read\n', `define: { later: "n\\u006fw() >= ${later / 1_000}" }\n`, whenLater('later')),
    ],
    [
      'a condition that is put together',
      filesOf(
        `p, bob, doc, read, w() >= ${later / 1_000}, x\n`,
        undefined,
        whenLater('eval("no" + p.b)', withCondition),
      ),
    ],
    [
      'a condition that evaluates another column',
      filesOf(
        `p, bob, doc, read, eval(p.c), now() >= ${later / 1_000}\n`,
        undefined,
        whenLater('eval(p.b)', withCondition),
      ),
    ],
    [
      'a condition that evaluates a text',
      filesOf(
        `p, bob, doc, read, "eval(""now() >= ${later / 1_000}"")", x\n`,
        undefined,
        whenLater('eval(p.b)', withCondition),
      ),
    ],
    [
      'roles with conditions, over two lines',
      filesOf(
        `p, reader, doc, read\ng, bob, reader, ${window.join(', ')}\n`,
        undefined,
        conditionalRoles('g = _, _, \\\n (_, _)'),
      ),
    ],
  ])('remembers no answer for another time where the candidate reads the clock in %s', async (_, candidate) => {
    const log = await logOf((to) => [decided(to, 'bob', {}, noon), decided(to, 'bob', {}, later + 1_000)]);
    const set = SimulatedSet.of({ files: candidate });
    const answers = [noon, later + 1_000].map((now) => set.decide(asked('bob'), now).decision);
    expect(answers).toEqual(['deny', 'allow']);
    expect(await simulate(() => portionsOfGroups(log.groups({ policySet: 'set' }, 0)), candidate, known)).toMatchObject(
      {
        answered: 2,
        lost: 1,
        complete: true,
      },
    );
  });

  it('remembers answers of sets that only speak of the clock', () => {
    const manifest = 'description: it is now as it was\n';
    const own = whenLater("r.obj != 'now()' && eval(p.b)", withCondition);
    const set = SimulatedSet.of({ files: filesOf("p, bob, doc, read, r.act == 'read', now()\n", manifest, own) });
    expect(set.readsClock).toBe(false);
  });

  it('is the same on any number of threads', async () => {
    const log = await logOf((to) =>
      Array.from({ length: 300 }, (_, n) => decided(to, ['ann', 'bob', 'cy', 'dee'][n % 4]!, {}, noon + n)),
    );
    const lines: string[] = [];
    for await (const text of log.export({ format: 'ndjson' })) lines.push(text);
    async function* portions() {
      for (const [line, text] of lines.entries()) yield { portion: { kind: 'lines' as const, text, line } };
    }
    const [one, four] = [
      await simulate(portions, after, known, { threads: 1 }),
      await simulate(portions, after, known, { threads: 4 }),
    ];
    expect(four).toEqual(one);
    expect(one).toMatchObject({ answered: 300, gained: 75, lost: 75 });
  });

  it('ends with what was counted when it is cancelled', async () => {
    const log = await logOf((to) => [decided(to, 'bob')]);
    const stop = new AbortController();
    async function* endless() {
      for (;;) yield* portionsOfGroups(log.groups({ policySet: 'set' }, 0));
    }
    const running = simulate(
      async function* () {
        let given = 0;
        for await (const portion of endless()) {
          if (portion.portion !== undefined && ++given === 50) stop.abort();
          yield portion;
        }
      },
      after,
      known,
      { signal: stop.signal },
    );
    const result = await running;
    // Those that a thread had not come to are not counted.
    expect(result).toMatchObject({ complete: false, cancelled: true, lost: result.answered });
    expect(result.answered).toBeLessThanOrEqual(49);
    expect(result.answered).toBeGreaterThan(40);
  });

  it('is cancelled while its candidate compiles, and reads nothing of the log then', async () => {
    const stop = new AbortController();
    const said: string[] = [];
    const running = runSimulation(
      {
        portions: () => {
          throw new Error('it reads');
        },
        version: async () => 'policy_version_not_found',
      },
      {
        ...{ policySet: 'set', candidate: { files: after }, from: undefined, to: undefined, filter: undefined },
        ...{ threads: 2, memoryMb: 512, signal: stop.signal },
        onReady: () => said.push('ready'),
      },
    );
    stop.abort();
    expect(await running).toMatchObject({ isCancelled: true, tally: { answered: 0 } });
    expect(said).toEqual([]);
    expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
  });

  it('is cancelled while it answers the last portion, also where it waits for a version that never comes', async () => {
    const log = await logOf((to) => Array.from({ length: 20 }, () => decided(to, 'bob')));
    for (const content of [new Promise<never>(() => {}), Promise.resolve({ files: before })]) {
      const stop = new AbortController();
      const source: SimulationSource = {
        portions: () => portionsOfGroups(log.groups({ policySet: 'set' }, 0)),
        version: () => {
          stop.abort();
          return content;
        },
      };
      const run = await runSimulation(source, {
        ...{ policySet: 'set', candidate: { files: after }, from: undefined, to: undefined, filter: undefined },
        ...{ threads: 1, memoryMb: 512, signal: stop.signal },
      });
      expect(run.isCancelled).toBe(true);
      expect(run.tally.answered).toBeLessThanOrEqual(1);
    }
  });

  it('keeps nothing of the portions that it has read', async () => {
    const read: WeakRef<object>[] = [];
    async function* portions() {
      for (let n = 0; n < 500; n++) {
        const portion = { text: `portion ${n}` };
        read.push(new WeakRef(portion));
        yield portion;
      }
    }
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const { signal } = new AbortController();
    let held = Number.NaN;
    for await (const _ of until(signal, portions())) {
      if (read.length < 500) continue;
      await new Promise((resolve) => setImmediate(resolve));
      collect();
      held = read.filter((portion) => portion.deref() !== undefined).length;
    }
    // The one that is looked at, and what the loop and the generators have of the last ones.
    expect(held).toBeLessThan(10);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it.skipIf(!hasPostgres)(
    'names replicas that have not shipped all that they decided in the time asked for',
    async () => {
      const url = await server().createDatabase();
      const log = await startReplica(url);
      const now = Date.now();
      await log.append(decided(log, 'bob', {}, now));
      const database = openDatabase(url);
      const table = database.table('decision_writer');
      const on = (times: { from?: number; to?: number } = {}) =>
        simulate(() => portionsOfGroups(log.groups({ policySet: 'set', ...times }, 0)), after, known);
      // It runs: what it decided before is waited for.
      expect(await on()).toMatchObject({ complete: true, answered: 1, lost: 1 });
      // Another one was not heard of for a minute, and had shipped what it decided until then.
      await database.write(
        `INSERT INTO ${table} (journal, id_writer, instance, state, beat, decided, shipped, complete_to)
       SELECT reverse(journal), id_writer + 1, 'pdp-2', 'running', now() - interval '1 minute', 9, 9, $1 FROM ${table}`,
        [now - 60_000],
      );
      const incomplete = await on();
      expect(incomplete).toMatchObject({
        complete: false,
        answered: 1,
        writers: [expect.stringMatching(/^\d+ \(pdp-2\)$/)],
      });
      expect(await on({ to: now - 60_000 })).not.toHaveProperty('writers');
      const run = { tally: new SimulationTally().parts, unshipped: ['7 (a)'], isCancelled: false };
      const result = resultOf(run, { policySet: 'set', candidate: '' });
      expect(result).toMatchObject({ complete: false, writers: ['7 (a)'] });
    },
  );

  it('names gaps, and is not complete with one', async () => {
    const gap = {
      after: 1,
      lost: 7,
      from: '2026-11-21T12:00:00Z',
      to: '2026-11-21T12:00:01Z',
      cause: 'queue_full' as const,
    };
    const log = await logOf((to) => [decided(to, 'ann')]);
    const result = await simulate(
      async function* () {
        yield { gaps: [gap] };
        yield* portionsOfGroups(log.groups({ policySet: 'set' }, 0));
        yield {
          portion: { kind: 'lines', text: `${JSON.stringify({ gap: { ...gap, lost: null } })}\n{"erred":3}`, line: 1 },
        };
      },
      after,
      known,
    );
    expect(result).toMatchObject({
      complete: false,
      gaps: { gaps: 2, lost: 7, uncounted: 1 },
      leftOut: [{ cause: 'filter_erred', count: 3 }],
    });
  });

  it('is not complete where nothing was answered', async () => {
    const result = await simulate(async function* () {}, after, known);
    expect(result).toMatchObject({ complete: false, answered: 0, leftOut: [] });
  });

  it.each(['{"id":', '[]', '{"id":"x"}', 'id,time\n'])('refuses %j as a line of an export', async (text) => {
    const running = simulate(
      async function* () {
        yield { portion: { kind: 'lines', text: `{"erred":1}\n${text}`, line: 5 } };
      },
      after,
      known,
    );
    await expect(running).rejects.toBeInstanceOf(UnreadableExport);
    await expect(running).rejects.toMatchObject({ line: 6 });
  });

  it('applies a filter to an export, and counts of which it can say nothing', async () => {
    const log = await logOf((to) => ['ann', 'bob', 'cy'].map((subject) => decided(to, subject)));
    const portions = () => portionsOfLines(log.export({ format: 'ndjson' }));
    expect(await simulate(portions, after, known, { filter: "subject == 'bob'" })).toMatchObject({
      answered: 1,
      lost: 1,
    });
    const result = await simulate(portions, after, known, { filter: 'subject.level > 3' });
    expect(result).toMatchObject({ answered: 0, complete: false, leftOut: [{ cause: 'filter_erred', count: 3 }] });
  });
});
