/**
 * What is said of a set before it serves is what its engine does (P9): every question of random sets, asked by names that
 * stand in them and by others, with attributes and without, against the answer of its universe.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { permissionsInSteps, questionsOf } from '../../src/core/analysis/access.js';
import { diffAccessInSteps } from '../../src/core/analysis/access-diff.js';
import { Examiner, type Permission } from '../../src/core/analysis/examiner.js';
import { limitsOf } from '../../src/core/analysis/residual.js';
import { type Universe, universeOf } from '../../src/core/analysis/universe.js';
import { isAllowed } from '../../src/core/engine/ask.js';
import { type CompiledPolicySet, compileInSteps } from '../../src/core/policy/compile.js';
import { PolicyError } from '../../src/core/problem.js';
import type { DecisionRequest, Json, JsonObject } from '../../src/core/request.js';
import { finish } from '../../src/core/steps.js';
import { regionOf, residualHolds } from '../core/analysis/representatives.js';
import { runs, timeout } from './runs.js';
import { type World, world } from './worlds.js';

/** What a world of `boundWorld` has beside those of the fuzz suite. */
interface Bound {
  readonly manifest?: { readonly [name: string]: Json };
  readonly entities?: readonly Json[];
}

const now = Date.parse('2026-01-01T00:00:00Z');

const names = [
  'alice',
  'bob',
  'zoe',
  '*',
  '/a/b',
  '/a/b/c',
  '/a/zzz',
  '/q',
  'data1',
  'd1',
  'd9',
  'read',
  'GET',
  'POSTAL',
  'root',
  '10.0.0.1',
  '7',
  '',
];
const value = fc.constantFrom<JsonObject[string]>(17, 18, 19, '18', 'sales', 'alice', true, false, null, ['read'], {
  level: 3,
  dept: 'sales',
});
const attributes = fc.dictionary(fc.constantFrom('age', 'level', 'dept', 'tags', 'admin', 'x', 'x1'), value, {
  maxKeys: 4,
});
const name = fc.constantFrom(...names);
const request: fc.Arbitrary<DecisionRequest> = fc
  .record({ sub: name, act: name, obj: name, dom: name, ofSubject: attributes, ofResource: attributes })
  .map(({ sub, act, obj, dom, ofSubject, ofResource }) => ({
    subject: { id: sub, attributes: ofSubject },
    action: { name: act },
    resource: { id: obj, attributes: ofResource },
    attributes: { tenant: dom },
  }));
const requests = fc.array(request, { minLength: 40, maxLength: 40 });

function compile({ model, rules, roleMatching, manifest, entities }: World & Bound): CompiledPolicySet | undefined {
  try {
    const bound = { ...(manifest && { manifest }), ...(entities && { entities }) };
    return finish(compileInSteps({ model, rules, roleMatching: roleMatching ?? [], ...bound }, () => ''));
  } catch (error) {
    if (error instanceof PolicyError) return undefined;
    throw error;
  }
}

const terms = [
  'g(r.sub, p.sub)',
  '(p.sub == "*" || g(r.sub, p.sub))',
  'r.sub == p.sub',
  'r.obj == p.obj',
  'keyMatch(r.obj, p.obj)',
  'keyMatch2(r.obj, p.obj)',
  'globMatch(r.obj, p.obj)',
  'g2(r.obj, p.obj)',
  'regexMatch(r.act, p.act)',
  'r.act == p.act',
  'g2(r.act, p.act)',
  'r.act in ("read", "list")',
  'r.act != "write"',
  '!(r.act == "write")',
  'eval(p.cond)',
  'r.sub.type == "user"',
  'r.sub.id != "ann"',
  'r.obj.owner == r.sub.id',
  'r.sub.level > 3',
  'hasRole(r.sub.roles, p.sub)',
  '(r.sub == "root" || r.act == p.act)',
];
const lines: readonly { readonly [token: string]: string }[] = [
  {},
  { sub: '${subject.type}:${subject.id}' },
  { sub: '${subject.type}:${subject.id}', obj: '/${resource.type}/${resource.id}' },
  { obj: 'resource.type' },
  { obj: '${attributes.env}/${resource.id}' },
  { sub: 'subject.department', obj: 'resource.id' },
];
const storedEntities: readonly Json[] = [
  { type: 'user', id: 'ann', attributes: { level: 5, roles: ['boss'], department: 'sales' } },
  { type: 'user', id: 'cy', attributes: { level: 2 } },
  { type: 'doc', id: '7', attributes: { owner: 'ann' } },
];
const who = ['ann', 'user:ann', 'user:ben', 'robot:r2', 'boss', 'staff', '*', 'sales'];
const what = ['7', '/doc/7', '/doc/*', '/doc/:id', 'prod/*', 'prod/7', 'doc', 'docs', '*', '/x/*/y'];
const how = ['read', 'write', '(GET)|(read)', '^(read|list)$', 'w.*', 'all'];

/** Worlds with templates, stored entities, action hierarchies and conditions. */
const boundWorld: fc.Arbitrary<World & Bound> = fc
  .record({
    line: fc.constantFrom(...lines),
    chosen: fc.subarray(terms, { minLength: 2, maxLength: 5 }),
    or: fc.nat(3),
    effect: fc.constantFrom(
      'some(where (p.eft == allow))',
      '!some(where (p.eft == deny))',
      'some(where (p.eft == allow)) && !some(where (p.eft == deny))',
      'priority(p.eft) || deny',
    ),
    rules: fc.array(
      fc.tuple(
        fc.constantFrom(...who),
        fc.constantFrom(...what),
        fc.constantFrom(...how),
        fc.constantFrom('true', 'r.sub.level >= 5', 'r.obj.owner == "ann"', '!(r.act == "list")', 'r.sub == "ann"'),
        fc.constantFrom('allow', 'allow', 'deny'),
      ),
      { minLength: 1, maxLength: 5 },
    ),
    links: fc.subarray([
      'g, user:ann, boss',
      'g, ann, staff',
      'g, staff, boss',
      'g2, /doc/7, docs',
      'g2, 7, docs',
      'g2, write, all',
      'g2, doc, docs',
    ]),
    withEntities: fc.boolean(),
    unknown: fc.boolean(),
  })
  .map(({ line, chosen, or, effect, rules, links, withEntities, unknown }) => ({
    model: `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, cond, eft
[role_definition]
g = _, _
g2 = _, _
[policy_effect]
e = ${effect}
[matchers]
m = ${chosen.map((term, at) => (at === 0 ? term : `${or === at ? '||' : '&&'} ${term}`)).join(' ')}
`,
    rules: [
      ...rules.map((fields) => ['p', ...fields].map((field) => `"${field.replaceAll('"', '""')}"`).join(', ')),
      ...links,
    ].join('\n'),
    asks: [],
    manifest: { request: line, ...(unknown && { entities: { unknown: { deny: ['doc'] } } }) },
    ...(withEntities && { entities: storedEntities }),
  }));
const boundRequest: fc.Arbitrary<DecisionRequest> = fc
  .record({
    sub: fc.constantFrom('ann', 'ben', 'cy', 'zed', 'root', '*', 'sales'),
    subType: fc.constantFrom('user', 'robot', 'alien', undefined),
    act: fc.constantFrom('read', 'write', 'list', 'GET', 'READ', 'wave', 'bread', 'all'),
    obj: fc.constantFrom('7', '8', '/doc/7', '/doc/9', '/x/q/y', 'doc', 'a/b', '*'),
    objType: fc.constantFrom('doc', 'page', undefined),
    env: fc.constantFrom('prod', 'test', 'q'),
    ofSubject: fc.dictionary(
      fc.constantFrom('level', 'roles', 'department'),
      fc.constantFrom<Json>(2, 5, 9, 'sales', 'hr', ['boss'], ['staff']),
      { maxKeys: 3 },
    ),
    ofResource: fc.dictionary(fc.constantFrom('owner'), fc.constantFrom<Json>('ann', 'zed', 3), { maxKeys: 1 }),
  })
  .map(({ sub, subType, act, obj, objType, env, ofSubject, ofResource }) => ({
    subject: { ...(subType !== undefined && { type: subType }), id: sub, attributes: ofSubject },
    action: { name: act },
    resource: { ...(objType !== undefined && { type: objType }), id: obj, attributes: ofResource },
    attributes: { env },
  }));
const boundRequests = fc.array(boundRequest, { minLength: 40, maxLength: 40 });

/** The question of a universe that stands for a request; undefined if the name of a role asks, which is left out. */
function questionFor(
  set: CompiledPolicySet,
  universe: Universe,
  { subject, action, resource, attributes: own }: DecisionRequest,
) {
  // Attributes of a resource without a type are refused where unknown entities are.
  if (set.manifest.unknownDenied !== undefined && resource.type === undefined) return undefined;
  return regionOf(set, universe, { subject, action: action.name, resource, context: own ?? {} });
}

describe('what a universe says of random sets', () => {
  it.each([
    ['by name', world as fc.Arbitrary<World & Bound>, requests],
    ['by templates, entities and conditions', boundWorld, boundRequests],
  ])(
    '%s is what the engine answers, for every request that a question stands for',
    (_what, worlds, requests) => {
      const seen = { asked: 0, witnesses: 0, conditions: 0, allowed: 0 };
      fc.assert(
        fc.property(worlds, requests, (drawn, asked) => {
          const set = compile(drawn);
          if (set === undefined) return;
          const universe = universeOf([set]);
          const examiner = new Examiner(set, universe, now);
          for (const each of asked) {
            const question = questionFor(set, universe, each);
            if (question === undefined) continue;
            const residual = examiner.examine(question);
            if (limitsOf(residual).some((limit) => limit.startsWith('the matcher may'))) continue;
            const said = residualHolds(set, residual, each, now);
            const isRight = isAllowed(set, each, now);
            seen.asked++;
            if (universe.witnesses.entities.has(question.subject)) seen.witnesses++;
            if (residual.kind !== 'always' && residual.kind !== 'never') seen.conditions++;
            if (isRight) seen.allowed++;
            expect(said, JSON.stringify({ each, question, residual })).toBe(isRight);
          }
        }),
        runs(100),
      );
      for (const count of Object.values(seen)) expect(count).toBeGreaterThan(runs(100).numRuns);
    },
    timeout,
  );

  it.each([
    ['by name', world as fc.Arbitrary<World & Bound>],
    ['by templates, entities and conditions', boundWorld],
  ])(
    '%s is found whether the rules are read backwards or every question is asked',
    (_what, worlds) => {
      fc.assert(
        fc.property(worlds, (drawn) => {
          const set = compile(drawn);
          if (set === undefined) return;
          const universe = universeOf([set]);
          const found = finish(permissionsInSteps(set, universe, { now, maxQuestions: 1_000_000 }));
          const examiner = new Examiner(set, universe, now);
          const isGiven = (question: Permission) => examiner.examine(question).kind !== 'never';
          const bare = found.permissions.map(({ subject, action, resource, context }) => ({
            subject,
            action,
            resource,
            context,
          }));
          expect(bare).toEqual([...questionsOf(universe)].filter(isGiven));
        }),
        runs(50),
      );
    },
    timeout,
  );
});

/** A set and another version of it: rules that go, come or move, or another matcher. */
const changeOf = (worlds: fc.Arbitrary<World & Bound>): fc.Arbitrary<readonly [World & Bound, World & Bound]> =>
  fc.tuple(worlds, worlds, fc.nat(), fc.nat(), fc.boolean()).map(([one, other, drop, take, matcher]) => {
    const lines = one.rules.split('\n');
    const others = other.rules.split('\n').filter((line) => line.startsWith('p'));
    const kept = lines.filter((_, index) => index !== drop % lines.length);
    const width = (line: string | undefined) => line?.split(',').length;
    const fitting = others.filter((line) => width(line) === width(lines[0]));
    const added = fitting[take % Math.max(fitting.length, 1)];
    const rules = [...(drop % 3 === 0 ? lines : kept), ...(added === undefined ? [] : [added])].join('\n');
    const swapped = one.model.replace(/^m = .*$/m, (own) => own.replace(/&& /, '|| '));
    return [one, { ...one, rules, ...(matcher && { model: swapped }) }];
  });

/** The requests that the rules name, with the attributes of others: few would be met by chance. */
function ofRules(
  { model }: World,
  rules: readonly { readonly rule: readonly string[] }[],
  like: readonly DecisionRequest[],
) {
  const columns = /^p = (.*)$/m.exec(model)![1]!.split(', ');
  return rules.flatMap(({ rule: [, ...fields] }) =>
    like.slice(0, 5).map((each): DecisionRequest => {
      const at = (column: string, otherwise: string) => fields[columns.indexOf(column)] ?? otherwise;
      return {
        subject: { ...each.subject, id: at('sub', each.subject.id) },
        action: { name: at('act', each.action.name) },
        resource: { ...each.resource, id: at('obj', each.resource.id) },
        attributes: { ...each.attributes, tenant: at('dom', String(each.attributes?.tenant)) },
      };
    }),
  );
}

describe('a gate', () => {
  const named = world as fc.Arbitrary<World & Bound>;
  it.each([
    ['that compares whole sets', named, requests, false],
    ['that compares what a change of rules concerns', named, requests, true],
    ['over templates, that compares whole sets', boundWorld, boundRequests, false],
    ['over templates, that compares what a change of rules concerns', boundWorld, boundRequests, true],
  ])(
    '%s passes no change by which a request is allowed that was not',
    (_what, worlds, requests, isPartial) => {
      const seen = { passed: 0, stopped: 0, gains: 0 };
      fc.assert(
        fc.property(changeOf(worlds), requests, ([one, other], asked) => {
          const [before, after] = [compile(one), compile(other)];
          if (before === undefined || after === undefined) return;
          if (isPartial && one.model !== other.model) return;
          const fields = (line: string) =>
            line.split(',').map((field) =>
              field
                .trim()
                .replace(/^"(.*)"$/, '$1')
                .replaceAll('""', '"'),
            );
          const [old, current] = [one, other].map(({ rules }) => rules.split('\n')) as [string[], string[]];
          const changed = {
            removed: old.filter((line) => !current.includes(line)).map((line) => ({ rule: fields(line) })),
            added: current.filter((line) => !old.includes(line)).map((line) => ({ rule: fields(line) })),
          };
          const isOrdered = /priority/i.test(one.model);
          const partly =
            isPartial && !isOrdered && new Set(old).size === old.length && new Set(current).size === current.length;
          const found = finish(
            diffAccessInSteps(before, after, {
              now,
              maxQuestions: 1_000_000,
              ...(partly && { changed, compareWholeUpTo: 0 }),
            }),
          );
          const passes = found.gained.length === 0 && found.limits.length === 0;
          if (passes) seen.passed++;
          else seen.stopped++;
          for (const each of [...asked, ...ofRules(one, [...changed.removed, ...changed.added], asked)]) {
            const gains = !isAllowed(before, each, now) && isAllowed(after, each, now);
            const isCounted =
              questionFor(before, found.universe!, each) !== undefined &&
              questionFor(after, found.universe!, each) !== undefined;
            if (gains) seen.gains++;
            if (gains && isCounted) expect(passes, JSON.stringify(each)).toBe(false);
          }
        }),
        runs(60),
      );
      expect(seen.passed).toBeGreaterThan(0);
      expect(seen.stopped).toBeGreaterThan(0);
      // A single rule of a matcher that nobody would write allows little.
      if (!isPartial) expect(seen.gains).toBeGreaterThan(0);
    },
    timeout,
  );
});
