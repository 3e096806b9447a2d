/**
 * A compiled set is frozen in fact: with all that can be reached from it frozen it answers as before, but for what it
 * remembers between questions, which is listed here: it is the same for every question, and bounded.
 */
import { describe, expect, it } from 'vitest';
import { LiveData } from '../../src/core/data/live-data.js';
import { addDataInSteps } from '../../src/core/policy/change-data.js';
import { type CompiledPolicySet, compileInSteps } from '../../src/core/policy/compile.js';
import { PolicySet } from '../../src/core/policy-set.js';
import { finish } from '../../src/core/steps.js';
import { sha256 } from '../../src/digest/sha-256.js';
import { type CompileOptions, compilePolicySet } from '../../src/engine.js';
import { casbinCases, corpusFiles, functionsOf, modelOf } from './corpus.js';
import { decisionQuestions } from './decision-questions.js';

const now = Date.UTC(2024, 5, 1);

/** By class: the members that remember what was found, so that the next question need not find it again. */
const memory: Readonly<Record<string, readonly string[]>> = {
  BoundedCache: ['recent', 'older', 'size'],
  ConditionLibrary: ['compiled'],
  CombinationLibrary: ['compiled'],
  DomainLinks: ['view'],
  Links: ['above'],
  MixedDomain: ['view'],
  PatternLibrary: ['prepared'],
  Plan: ['partialIndexes'],
  RoleSet: ['index', 'keys', 'others'],
  RoleSets: ['remembering', 'roles'],
  // Parents by their names, as many as the files have; and numbers that identify views and domains of one definition.
  StoredLinks: ['parentSets', 'madeViews', 'madeDomains'],
};

/** Typed arrays cannot be frozen; what they held is compared afterwards. */
type Numbers = Int32Array | Uint8Array | Uint16Array;

/** Sets share what is the engine's own, the built-in functions for instance. */
const seen = new Set<unknown>();

/** Freezes everything that can be reached, and returns the typed arrays on the way. */
function deepFreeze(root: object): Numbers[] {
  const typed: Numbers[] = [];
  const refuse = () => {
    throw new TypeError('a map or set of a compiled policy set is changed');
  };
  const visit = (value: unknown): void => {
    if ((typeof value !== 'object' && typeof value !== 'function') || value === null || seen.has(value)) return;
    seen.add(value);
    if (ArrayBuffer.isView(value)) {
      typed.push(value as Numbers);
      return;
    }
    const remembering = memory[value.constructor?.name] ?? [];
    for (const key of Reflect.ownKeys(value)) {
      if (remembering.includes(String(key))) continue;
      const member = Object.getOwnPropertyDescriptor(value, key)!;
      visit(member.value);
      if (remembering.length > 0) Object.defineProperty(value, key, { writable: false, configurable: false });
    }
    if (remembering.length > 0) {
      for (const member of remembering)
        expect(Object.hasOwn(value, member), `${value.constructor.name}.${member}`).toBe(true);
      Object.preventExtensions(value);
      return;
    }
    if (value instanceof Map || value instanceof Set) {
      for (const [key, of] of value.entries()) {
        visit(key);
        visit(of);
      }
      for (const name of ['set', 'add', 'delete', 'clear']) {
        if (name in value) Object.defineProperty(value, name, { value: refuse });
      }
    }
    Object.freeze(value);
  };
  visit(root);
  return typed;
}

interface Example {
  readonly name: string;
  readonly options: CompileOptions;
  readonly ask: (set: PolicySet) => unknown;
}

function* examples(): Generator<Example> {
  for (const example of casbinCases().filter(({ load_error }) => load_error === undefined)) {
    const { model, policy: rules, roleMatchers: roleMatching, linkConditions, fieldIndex, acceptJson } = example;
    const functions = functionsOf(example);
    yield {
      name: example.name,
      options: { model, rules, roleMatching, linkConditions, fieldIndex, acceptJson, functions },
      ask: (set) => [
        example.requests.map(({ args, matcher }) => set.enforce(args, { context: example.context, matcher, now })),
        decisionQuestions(example).map(({ request }) => [
          set.decide(request, { now, explain: 'full' }),
          set.whoCan({ action: { name: 'read' }, resource: { id: 'data1' } }, { now }),
        ]),
      ],
    };
  }
  for (const example of corpusFiles().flatMap(({ cases }) => cases)) {
    if (example.refused === true) continue;
    const { rules = '', roleMatching, linkConditions, fieldIndex, acceptJson, requests = [] } = example;
    yield {
      name: example.case,
      options: { model: modelOf(example), rules, roleMatching, linkConditions, fieldIndex, acceptJson },
      ask: (set) => requests.map(({ args, matcher, context }) => set.enforce(args, { matcher, context, now })),
    };
  }
}

describe('a compiled set of which everything is frozen', () => {
  it('answers as one that was not touched, and holds the same numbers afterwards', () => {
    let frozen = 0;
    for (const { name, options, ask } of examples()) {
      const inside = finish(compileInSteps(options, () => 'sha256:0'));
      const numbers = deepFreeze(inside);
      const before = numbers.map((array) => array.slice());
      const set = new PolicySet(inside);
      Object.freeze(set);
      const wanted = ask(compilePolicySet(options));
      expect(ask(set), name).toEqual(wanted);
      // Once more, from what is remembered by now.
      expect(ask(set), name).toEqual(wanted);
      const isSame = (array: Numbers, index: number) =>
        Buffer.from(array.buffer).equals(Buffer.from(before[index]!.buffer));
      expect(numbers.every(isSame), name).toBe(true);
      frozen += numbers.length;
    }
    expect(frozen).toBeGreaterThan(1_000);
  });
});

describe('a compiled set with live data of which everything is frozen', () => {
  const roles = ['ana', 'bo', 'cy'].flatMap((name) =>
    ['editor', '/a/*'].map((role) => ['g', name, role, name === 'cy' ? 'd*' : 'd1']),
  );
  const live = `[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub, r.dom) && r.dom == p.dom && r.obj == p.obj && r.act == p.act
`;
  const change = {
    add: {
      roles: [
        ['g', 'dee', 'ana', 'd1'],
        ['g', '/a/b', 'editor', 'd2'],
      ],
      entities: [{ type: 'user', id: 'dee' }],
    },
    remove: { roles: [['g', 'bo', 'editor', 'd1']], entities: [{ type: 'user', id: 'ana' }] },
  };

  it.each([{}, { names: 'keyMatch' }, { domains: 'keyMatch' }, { names: 'keyMatch', domains: 'keyMatch' }])(
    'is changed without being written to, roles matched by %j',
    (matching) => {
      const options = {
        model: live,
        rules: 'p, editor, d1, page, edit\np, /a/*, d2, page, edit\ng, bo, editor, d2\ng, x, /a/*, d1',
        manifest: { data: { roles: ['g'], entities: ['user'] }, roleMatching: { g: matching } },
      };
      const compile = (): CompiledPolicySet => {
        const ofFiles = finish(
          compileInSteps(options as never, () => `sha256:${'0'.repeat(64)}`, LiveData.empty(sha256)),
        );
        return finish(addDataInSteps(ofFiles, { roles, entities: [{ type: 'user', id: 'ana' }] }));
      };
      const names = ['ana', 'bo', 'cy', 'dee', 'x', '/a/b', 'editor'];
      const answers = (set: PolicySet) => [
        names.flatMap((name) => ['d1', 'd2'].map((domain) => set.enforce([name, domain, 'page', 'edit'], { now }))),
        set.whoCan({ action: { name: 'edit' }, resource: { id: 'page' }, attributes: { tenant: 'd1' } }, { now }),
      ];
      const inside = compile();
      deepFreeze(inside);
      const [frozen, free] = [new PolicySet(inside), new PolicySet(compile())];
      const before = answers(free);
      expect(answers(frozen)).toEqual(before);
      const { set: after } = frozen.change(change);
      const wanted = answers(free.change(change).set);
      expect(answers(after)).toEqual(wanted);
      expect(wanted).not.toEqual(before);
      expect(answers(frozen)).toEqual(before);
      expect(answers(after)).toEqual(wanted);
    },
  );
});

/** A look-up of three parts, each of another kind, in the middle of which the embedding program asks something else. */
const model = `[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.obj == p.obj && g(r.sub, p.sub, r.dom) && (p.act == "any" || r.act == p.act) && keyMatch(r.dom, p.dom)
`;

describe('a question asked in the middle of another one', () => {
  const subjects = ['ann', 'bob', 'cid', 'eve'];
  const objects = ['one', 'two', 'three'];
  const rules = [
    ...objects.flatMap((obj) => [`p, reader, *, ${obj}, read`, `p, owner-${obj}, *, ${obj}, any`]),
    'g, ann, reader, a*',
    'g, bob, owner-two, a*',
    'g, cid, owner-one, b*',
    'g, cid, reader, *',
  ].join('\n');
  const questions = subjects.flatMap((sub) =>
    objects.flatMap((obj) => ['a1', 'b1'].flatMap((dom) => ['read', 'write'].map((act) => [sub, dom, obj, act]))),
  );
  const within = (domain: unknown, pattern: unknown) => String(domain).startsWith(String(pattern).replace(/\*$/, ''));
  const compile = (domainFn: typeof within) =>
    compilePolicySet({
      model,
      rules,
      roleMatching: [{ ptype: 'g', domainFn: 'within' }],
      functions: { within: domainFn },
    });

  it('changes neither answer, whichever two they are', () => {
    const plain = compile(within);
    const wanted = new Map(questions.map((question) => [question.join(), plain.enforce(question, { now })]));
    let asked = 0;
    for (const inner of questions) {
      let due = false;
      // A set of its own for each: domains that were asked for are remembered.
      const set = compile((domain, pattern) => {
        if (due) {
          due = false;
          asked++;
          expect(set.enforce(inner, { now }), `${inner} within another`).toEqual(wanted.get(inner.join()));
          expect(set.whoCan({ action: { name: 'read' }, resource: { id: 'one' } }, { now })).toBeDefined();
        }
        return within(domain, pattern);
      });
      for (const outer of questions) {
        due = true;
        expect(set.enforce(outer, { now }), `${outer} around ${inner}`).toEqual(wanted.get(outer.join()));
      }
    }
    expect(asked).toBeGreaterThanOrEqual(questions.length);
  });
});
