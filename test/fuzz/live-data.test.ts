/**
 * A set that is changed link by link is the set that is compiled with all of them: it has the same version, decides,
 * explains and finds the same. And it decides and finds what a set does that has the links in its files.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRuleLine } from '../../src/core/casbin/rules-document.js';
import {
  compilePolicySet,
  type DataChange,
  DataError,
  type NewEntity,
  PolicyError,
  type PolicySet,
  type RoleTuple,
  type SearchQuery,
} from '../../src/engine.js';
import { runs, seed, timeout } from './runs.js';
import { type World, world } from './worlds.js';

const now = Date.UTC(2024, 5, 1);
const oneOf = <T>(...values: readonly T[]) => fc.constantFrom(...values);

const name = oneOf('alice', 'bob', 'admin', 'editor', 'root', '', '*', '/a/*', '/a/b', '/:x', '__proto__', 'ø☂', '7');
const object = oneOf('data1', '/a/b', '/a/b/c', '/a/*', '/a/:id', '/x/{id}', '10.0.0.1');
const domain = oneOf('d1', 'd2', '*', 'd*', '', 'x');
const entity = fc.record(
  {
    type: oneOf('a', 'x'),
    id: oneOf('alice', 'bob', 'root', 'data1', '/a/b'),
    attributes: fc.record(
      { dept: oneOf('sales', 'alice'), age: oneOf(17, 18), tenant: oneOf('d1', 'd2'), __proto__: oneOf('x') },
      { requiredKeys: [] },
    ),
  },
  { requiredKeys: ['type', 'id'] },
) as fc.Arbitrary<NewEntity>;

/** A link as drawn; the model says how many of its columns count. */
const drawnLink = fc.tuple(oneOf('g', 'g', 'g2'), name, name, object, object, domain);
const step = fc.record({
  add: fc.array(drawnLink, { maxLength: 4 }),
  /** Of what is there then. */
  remove: fc.array(fc.nat(30), { maxLength: 3 }),
  addEntities: fc.array(entity, { maxLength: 2 }),
  removeEntities: fc.array(entity, { maxLength: 2 }),
});
const steps = fc.array(step, { minLength: 1, maxLength: 6 });

/** Worlds whose roles may be live data. */
const changing = world.filter(
  ({ model }) => /^g = _/m.test(model) && !/^g = .*\(/m.test(model) && !model.includes('subjectPriority'),
);
/** The links of the files that become data instead. */
const moves = fc.array(fc.nat(12), { maxLength: 6 });

const linkLines = (rules: string) => rules.split('\n').filter((line) => /^g2?,/.test(line));

function fieldsOf(line: string): string[] | undefined {
  const parsed = parseRuleLine(line, 'policy.csv', 1, () => undefined);
  return parsed && [parsed.ptype, ...parsed.fields];
}

const lineOf = (fields: readonly string[]) => fields.map((field) => `"${field.replaceAll('"', '""')}"`).join(',');

const queries = fc.array(
  fc
    .record({
      kind: oneOf('subject', 'resource', 'action'),
      type: oneOf(undefined, 'a', 'x'),
      subject: fc.record({ type: oneOf(undefined, 'a'), id: name }),
      action: fc.record({ name: oneOf('read', 'write', 'GET') }),
      resource: fc.record({ type: oneOf(undefined, 'x'), id: object }),
      attributes: oneOf(undefined, { tenant: 'd1' }, { tenant: 'dx' }),
    })
    .map((drawn) => JSON.parse(JSON.stringify(drawn)) as SearchQuery),
  { minLength: 3, maxLength: 3 },
);

interface Known {
  readonly links: Map<string, RoleTuple>;
  readonly entities: Map<string, NewEntity>;
}

/** The data after a change, by the words of the contract: what goes goes first. */
function applied({ links, entities }: Known, { add, remove }: DataChange): Known {
  const after = { links: new Map(links), entities: new Map(entities) };
  for (const link of remove?.roles ?? []) after.links.delete(JSON.stringify(link));
  for (const { type, id } of remove?.entities ?? []) after.entities.delete(JSON.stringify([type, id]));
  for (const link of add?.roles ?? []) after.links.set(JSON.stringify(link), link);
  for (const each of add?.entities ?? []) {
    const key = JSON.stringify([each.type, each.id]);
    if (!after.entities.has(key)) after.entities.set(key, each);
  }
  return after;
}

function answers(set: PolicySet, asks: World['asks'], asked: readonly SearchQuery[]) {
  const requests = asked.map(({ subject = { id: '' }, action = { name: '' }, resource = { id: '' }, attributes }) => ({
    subject,
    action,
    resource,
    ...(attributes !== undefined && { attributes }),
  }));
  return {
    enforced: asks.map(({ args, matcher, context }) => set.enforce(args, { matcher, context, now })),
    decided: requests.map((request) => set.decide(request, { now, explain: 'full' })),
    found: asked.map((query) => set.search(query, { now })),
    candidates: asked.map(({ kind, type }) => set.candidates(kind, type)),
  };
}

describe(`live data (seed ${seed})`, () => {
  it('changed step by step is live data compiled whole, and does what links in files do', { timeout }, () => {
    const seen = { changes: 0, conflicts: 0, allows: 0, gone: 0, found: 0, patterns: 0 };
    fc.assert(
      fc.property(changing, moves, steps, queries, (drawn, moved, drawnSteps, asked) => {
        const { model, rules, roleMatching = [], asks } = drawn;
        const lines = linkLines(rules);
        const data = new Set(moved.flatMap((at) => lines[at] ?? []));
        const filed = rules.split('\n').filter((line) => !data.has(line));
        const inFiles = new Set(filed.map((line) => JSON.stringify(fieldsOf(line))));
        const hasDomain = /^g = _, _, _/m.test(model);
        const definitions = ['g', ...(/^g2 = /m.test(model) ? ['g2'] : [])];
        const manifest = { data: { roles: definitions, entities: ['a', 'x'] } };
        const sources = { model, rules: filed.join('\n'), roleMatching, manifest };
        if (roleMatching.length > 0) seen.patterns++;

        let known: Known = { links: new Map(), entities: new Map() };
        let set = compilePolicySet(sources);
        const versions = new Map([[set.version, '']]);
        const first: DataChange = { add: { roles: [...data].map((line) => fieldsOf(line)!) } };
        for (const each of [undefined, ...drawnSteps]) {
          const change = each === undefined ? first : changeOf(each, known, hasDomain, definitions);
          // What is removed is drawn from what is there by then.
          const removed = [...(change.remove?.roles ?? [])].filter((link) => !inFiles.has(JSON.stringify(link)));
          const made = { ...change, remove: { ...change.remove, roles: removed } };
          const after = applied(known, made);
          const whole = () =>
            compilePolicySet({
              ...sources,
              data: { roles: [...after.links.values()], entities: [...after.entities.values()] },
            });
          const sharedEntities = [...(made.add?.entities ?? [])].some(
            (each) =>
              JSON.stringify(after.entities.get(JSON.stringify([each.type, each.id]))?.attributes ?? {}) !==
              JSON.stringify(each.attributes ?? {}),
          );
          const before = answers(set, asks, asked);
          let changed: ReturnType<PolicySet['change']>;
          try {
            changed = set.change(made);
          } catch (error) {
            if (!(error instanceof DataError)) throw error;
            expect(error.problems.map(({ code }) => code)).toEqual(error.problems.map(() => 'conflict'));
            seen.conflicts++;
            if (!sharedEntities) {
              expect(whole).toThrow(DataError);
              expect(() => filesOf(sources, after)).toThrow(PolicyError);
            }
            continue;
          }
          expect(sharedEntities).toBe(false);
          // The set that was changed is what it was.
          expect(answers(set, asks, asked)).toEqual(before);
          known = after;
          set = changed.set;
          if (changed.added + changed.removed > 0) seen.changes++;
          if (changed.removed > 0) seen.gone++;
          const compiled = whole();
          expect(set.version).toBe(compiled.version);
          const content = JSON.stringify([[...known.links.keys()].sort(), sortedEntities(known)]);
          expect(versions.get(set.version) ?? content).toBe(
            known.links.size + known.entities.size === 0 ? '' : content,
          );
          versions.set(set.version, known.links.size + known.entities.size === 0 ? '' : content);
          expect(set.size).toEqual(compiled.size);
          const [mine, theirs] = [answers(set, asks, asked), answers(compiled, asks, asked)];
          expect(mine).toEqual(theirs);
          const ofFiles = answers(filesOf(sources, known), asks, asked);
          expect(mine.enforced).toEqual(ofFiles.enforced);
          expect(mine.decided.map(plain)).toEqual(ofFiles.decided.map(plain));
          expect(mine.found.map(({ results, rolesLeftOut }) => ({ results, rolesLeftOut }))).toEqual(
            ofFiles.found.map(({ results, rolesLeftOut }) => ({ results, rolesLeftOut })),
          );
          expect(mine.candidates).toEqual(ofFiles.candidates);
          seen.allows += mine.enforced.filter(({ decision }) => decision === 'allow').length;
          seen.found += mine.found.filter(({ results }) => results.length > 0).length;
        }
      }),
      runs(250),
    );
    for (const [what, count] of Object.entries(seen)) expect(count, what).toBeGreaterThan(runs(50).numRuns);
  });
});

function changeOf(
  { add, remove, addEntities, removeEntities }: typeof step extends fc.Arbitrary<infer Step> ? Step : never,
  known: Known,
  hasDomain: boolean,
  definitions: readonly string[],
): DataChange {
  const roles = add
    .filter(([definition]) => definitions.includes(definition))
    .map(([definition, child, parent, from, to, inDomain]) =>
      definition === 'g2' ? [definition, from, to] : [definition, child, parent, ...(hasDomain ? [inDomain] : [])],
    );
  const there = [...known.links.values()];
  return {
    add: { roles, entities: addEntities },
    remove: {
      roles: there.length === 0 ? [] : remove.map((at) => there[at % there.length]!),
      entities: removeEntities.map(({ type, id }) => ({ type, id })),
    },
  };
}

/** The same set with its data in files. */
function filesOf(
  {
    manifest: _,
    rules,
    ...sources
  }: { model: string; rules: string; roleMatching: never[] | World['roleMatching']; manifest: object },
  { links, entities }: Known,
): PolicySet {
  const lines = [...links.values()].map(lineOf);
  return compilePolicySet({
    ...sources,
    roleMatching: sources.roleMatching ?? [],
    rules: [rules, ...lines].join('\n'),
    entities: [...entities.values()] as never,
  });
}

function sortedEntities({ entities }: Known): readonly (readonly [string, unknown])[] {
  return [...entities]
    .map(([key, { attributes = {} }]) => [key, Object.entries(attributes).sort()] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Without the explanation, which shows the first of several paths. */
function plain({ explanation: _, ...decision }: ReturnType<PolicySet['decide']>) {
  return decision;
}
