/** Effective access against brute force: every name that a set could mean, asked one by one. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { actionText, witnessedText } from '../../../src/cli/print/permission-text.js';
import { permissionsInSteps, questionsOf, review } from '../../../src/core/analysis/access.js';
import { diffAccessInSteps } from '../../../src/core/analysis/access-diff.js';
import { reviewAccessInSteps } from '../../../src/core/analysis/access-review.js';
import { type Permission, requestOfPermission } from '../../../src/core/analysis/examiner.js';
import { termOf } from '../../../src/core/analysis/residual.js';
import { keyOf, type Universe, universeOf } from '../../../src/core/analysis/universe.js';
import { isAllowed } from '../../../src/core/engine/ask.js';
import { compileInSteps } from '../../../src/core/policy/compile.js';
import type { Json } from '../../../src/core/request.js';
import { candidatesInSteps } from '../../../src/core/search/candidates.js';
import { finish } from '../../../src/core/steps.js';
import { casbinCases } from '../corpus.js';
import { evaluateCase } from './brute-force.js';

const users = ['u:ann', 'u:ben', 'u:cleo'];
const roles = ['nurse', 'staff', 'boss'];
const kinds = ['chart', 'letter', 'files'];
const actions = ['read', 'write'];

const model = (effect: string) => `
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, eft
[role_definition]
g = _, _
g2 = _, _
[policy_effect]
e = ${effect}
[matchers]
m = (p.sub == "*" || g(r.sub, p.sub)) && g2(r.obj, p.obj) && r.act == p.act
`;
const manifest = 'request: { sub: "${subject.type}:${subject.id}", obj: resource.type }';

const effects = fc.constantFrom(
  'some(where (p.eft == allow))',
  'some(where (p.eft == allow)) && !some(where (p.eft == deny))',
  'priority(p.eft) || deny',
);
const rule = fc
  .tuple(
    fc.constantFrom(...users, ...roles, '*'),
    fc.constantFrom(...kinds),
    fc.constantFrom(...actions),
    fc.constantFrom('allow', 'allow', 'deny'),
  )
  .map((fields) => ['p', ...fields]);
// A child stands before its parent in the list of roles: no cycles.
const link = fc
  .tuple(fc.constantFrom(...users, 'nurse', 'staff'), fc.constantFrom('staff', 'boss'))
  .filter(([child, parent]) => child !== parent && !(child === 'staff' && parent === 'staff'))
  .map((fields) => ['g', ...fields]);
const group = fc.constantFrom(['g2', 'chart', 'files'], ['g2', 'letter', 'files']);
const lines = fc.uniqueArray(fc.oneof({ weight: 3, arbitrary: rule }, link, group), {
  selector: (fields) => fields.join(),
  maxLength: 9,
});

function compile(effect: string, rules: readonly (readonly string[])[]) {
  return finish(
    compileInSteps(
      { model: model(effect), manifest, rules: rules.map((fields) => fields.join(', ')).join('\n') },
      () => '',
    ),
  );
}

/** Without what stands for names that no rule names. */
function listed<Found extends Permission>(found: readonly Found[], { witnesses }: Universe): readonly Found[] {
  return found.filter(({ subject, action, resource }) => {
    const isOther = witnesses.entities.has(subject) || witnesses.actions.has(action);
    return !isOther && witnesses.entities.get(resource)?.type === undefined;
  });
}

/** `u:ann read chart`, for all that the rules allow. */
function bruteForce(effect: string, rules: readonly (readonly string[])[]): string[] {
  return users
    .flatMap((user) => kinds.flatMap((kind) => actions.map((action) => [user, kind, action] as const)))
    .filter(([user, kind, action]) => evaluateCase(effect, rules, user, kind, action))
    .map(([user, kind, action]) => `${user} ${action} ${kind}`);
}

describe('effective access', () => {
  it('of a set is what brute force finds', () => {
    fc.assert(
      fc.property(effects, lines, (effect, rules) => {
        if (!rules.some(([key]) => key === 'p')) return;
        const set = compile(effect, rules);
        const universe = universeOf([set]);
        const { permissions } = finish(permissionsInSteps(set, universe, { now: 0, maxQuestions: 10_000 }));
        const found = listed(permissions, universe).map(
          ({ subject, action, resource }) => `${keyOf(subject)} ${action} ${resource.type}`,
        );
        // Brute force also asks about names that no rule speaks of; only `*` gives them anything.
        const named = new Set(universeOf([set]).subjects.map(keyOf));
        const knownKinds = new Set(universeOf([set]).resources.map(({ type }) => type));
        const wanted = bruteForce(effect, rules).filter((text) => {
          const [user, , kind] = text.split(' ');
          return named.has(user!) && knownKinds.has(kind);
        });
        expect([...found].sort()).toEqual(wanted.sort());
        const isAllowedAlone = (question: Permission) => isAllowed(set, requestOfPermission(question), 0);
        const bare = permissions.map(({ if: _, ...question }) => question);
        expect(bare).toEqual([...questionsOf(universe)].filter(isAllowedAlone));
        for (const permission of permissions) expect(review(set, permission, 0).rule?.at(-1)).toBe('allow');
      }),
      { numRuns: 200 },
    );
  });

  it('of a change is the difference of the two, whether everything is asked or only what the change concerns', () => {
    fc.assert(
      fc.property(effects, lines, lines, (effect, one, other) => {
        const [before, after] = [compile(effect, one), compile(effect, other)];
        const without = (these: readonly (readonly string[])[], those: readonly (readonly string[])[]) =>
          these
            .filter((fields) => !those.some((known) => known.join() === fields.join()))
            .map((fields) => ({ rule: fields }));
        const options = { now: 0, maxQuestions: 10_000 };
        const whole = finish(diffAccessInSteps(before, after, options));
        // Where rules have an order, one that only moved changes something, too: the command asks everything then.
        const changed = { removed: without(one, other), added: without(other, one) };
        const partial = finish(diffAccessInSteps(before, after, { ...options, changed, compareWholeUpTo: 0 }));
        const universe = universeOf([before, after]);
        const texts = (list: typeof whole.gained, from = whole) =>
          listed(list, from.universe!)
            .map(({ subject, action, resource }) => `${keyOf(subject)} ${action} ${resource.type}`)
            .sort();
        const [was, is] = [bruteForce(effect, one), bruteForce(effect, other)].map(
          (found) =>
            new Set(
              found.filter((text) => {
                const [user, , kind] = text.split(' ');
                return (
                  universe.subjects.some((subject) => keyOf(subject) === user) &&
                  universe.resources.some(({ type }) => type === kind)
                );
              }),
            ),
        ) as [Set<string>, Set<string>];
        expect(texts(whole.gained)).toEqual([...is].filter((text) => !was.has(text)).sort());
        expect(texts(whole.lost)).toEqual([...was].filter((text) => !is.has(text)).sort());
        if (effect.startsWith('priority')) return;
        expect(texts(partial.gained, partial)).toEqual(texts(whole.gained));
        expect(texts(partial.lost, partial)).toEqual(texts(whole.lost));
      }),
      { numRuns: 300 },
    );
  });

  it('of one line that goes, or comes, is found among what that line concerns', () => {
    // Links in a row are what a change reaches through.
    const chain = [
      ['g', 'u:ann', 'nurse'],
      ['g', 'nurse', 'staff'],
      ['g', 'staff', 'boss'],
      ['g2', 'chart', 'files'],
    ];
    fc.assert(
      fc.property(effects, lines, fc.nat(), (effect, some, pick) => {
        if (effect.startsWith('priority')) return;
        const all = [...some, ...chain.filter((link) => !some.some((line) => line.join() === link.join()))];
        const gone = all[pick % all.length]!;
        const [whole, less] = [
          compile(effect, all),
          compile(
            effect,
            all.filter((line) => line !== gone),
          ),
        ];
        const options = { now: 0, maxQuestions: 10_000 };
        const texts = (list: readonly Permission[]) =>
          list.map(({ subject, action, resource }) => `${keyOf(subject)} ${action} ${keyOf(resource)}`).sort();
        for (const [before, after, changed] of [
          [whole, less, { removed: [{ rule: gone }], added: [] }],
          [less, whole, { removed: [], added: [{ rule: gone }] }],
        ] as const) {
          const asked = finish(diffAccessInSteps(before, after, options));
          const concerned = finish(diffAccessInSteps(before, after, { ...options, changed, compareWholeUpTo: 0 }));
          expect(texts(concerned.gained)).toEqual(texts(asked.gained));
          expect(texts(concerned.lost)).toEqual(texts(asked.lost));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('of a set that is new or gone is all that it allows', () => {
    const set = compile('some(where (p.eft == allow))', [['p', 'u:ann', 'chart', 'read', 'allow']]);
    const options = { now: 0, maxQuestions: 100 };
    expect(finish(diffAccessInSteps(undefined, set, options)).gained).toHaveLength(1);
    expect(finish(diffAccessInSteps(set, undefined, options)).lost).toHaveLength(1);
  });

  it('says when it had to stop', () => {
    const set = compile('some(where (p.eft == allow))', [
      ['p', 'u:ann', 'chart', 'read', 'allow'],
      ['p', 'u:ben', 'chart', 'write', 'allow'],
    ]);
    const ask = (maxQuestions: number) => finish(permissionsInSteps(set, universeOf([set]), { now: 0, maxQuestions }));
    const { examined, complete } = ask(1_000);
    expect(complete).toBe(true);
    expect(ask(examined)).toMatchObject({ examined, complete: true });
    expect(ask(examined - 1)).toMatchObject({ examined: examined - 1, complete: false });
  });
});

/** A set of a matcher and rules over `sub, obj, act`. */
function compileMatcher(
  matcher: string,
  rules: string,
  manifest = '',
  definitions = 'g = _, _\ng2 = _, _',
  entities?: string,
) {
  const named = matcher.includes('r.kind') ? 'sub, kind, obj, act' : 'sub, obj, act';
  const model = `
[request_definition]
r = ${named}
[policy_definition]
p = ${named}
[role_definition]
${definitions}
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = ${matcher}
`;
  return finish(compileInSteps({ model, rules, manifest, ...(entities && { entities }) }, () => ''));
}

/** `ann read data`, for all that is allowed, and why there may be more. */
function listOf(set: ReturnType<typeof compileMatcher>): {
  readonly list: readonly string[];
  readonly limits: unknown;
} {
  const { permissions, limits } = finish(reviewAccessInSteps(set, {}, { now: 0, maxQuestions: 10_000 }));
  const list = permissions.map(({ subject, action, resource, witness, ...found }) => {
    const who = witnessedText(subject, witness?.subject);
    const what = witnessedText(resource, witness?.resource);
    const condition = found.if === undefined ? '' : ` if ${found.if}`;
    return `${who} ${actionText(action, witness?.action)} ${what}${condition}`;
  });
  return { list, limits };
}

describe('a list holds what the rules name (P9)', () => {
  const plain = 'g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act';

  it('with the characters of patterns, where they are compared as they are', () => {
    const set = compileMatcher(plain, 'p, R&D (Berlin), report [1], read');
    expect(listOf(set)).toEqual({ list: ['R&D (Berlin) read report [1]'], limits: [] });
  });

  it('with actions that have the names of roles', () => {
    const rules = 'p, read, repo, read\np, write, repo, write\ng, write, read\ng, ann, write';
    const set = compileMatcher(plain, rules);
    expect(listOf(set)).toEqual({ list: ['ann read repo', 'ann write repo'], limits: [] });
    // What was private becomes public.
    const open = compileMatcher(plain, `${rules}\ng, anonymous, read`);
    const { gained, limits } = finish(diffAccessInSteps(set, open, { now: 0, maxQuestions: 10_000 }));
    expect(gained).toMatchObject([{ subject: { id: 'anonymous' }, action: 'read', resource: { id: 'repo' } }]);
    expect(limits).toEqual([]);
  });

  it('with the values that a condition on items compares with, and a gate sees another one', () => {
    const matcher =
      'r.obj == p.obj && r.act == p.act && any(r.sub.roles, it == p.sub && has(it.x) || it == r.obj.owner)';
    const sets = ['admin', 'guest'].map((role) => compileMatcher(matcher, `p, ${role}, doc, read`));
    const { gained, lost, limits } = finish(diffAccessInSteps(sets[0], sets[1], { now: 0, maxQuestions: 10_000 }));
    expect(gained.length + limits.length).toBeGreaterThan(0);
    expect(lost.length + limits.length).toBeGreaterThan(0);
    expect(listOf(sets[0]!).list.join()).toContain('it == "admin" && has(it.x)');
  });

  it.each([
    [['a", "b'], ['a', 'b']],
    [[], ['()']],
    [['a'], 'a'],
    [[], null],
    [[['a']], ['a']],
  ])('with values that are told apart however they are written: %j and %j', (one, other) => {
    const key = (value: Json) => termOf({ kind: 'literal', value, at: 0 }, true, '', undefined).key;
    expect(key(one)).not.toBe(key(other));
  });

  it('with the names in a list that the manifest defines', () => {
    const of = (matcher: string, define: string) =>
      listOf(compileMatcher(matcher, 'p, x, doc, read', `define: { admins: ${define} }`)).list;
    const written = of('r.sub in ("zed", "yan") && r.obj == p.obj && r.act == p.act', '1');
    expect(of('r.sub in admins && r.obj == p.obj && r.act == p.act', '[zed, yan]')).toEqual(written);
    expect(written).toEqual(['yan read doc', 'zed read doc']);
  });

  it('with names that stand in patterns, which say nothing that is not true of all that the patterns match', () => {
    const matcher = 'r.sub == p.sub && regexMatch(r.obj, p.obj) && regexMatch(r.act, p.act) && r.obj == r.act';
    expect(listOf(compileMatcher(matcher, 'p, ann, GET, GET')).list).toEqual(['ann GET GET if r.obj == r.act']);
    expect(listOf(compileMatcher(matcher, 'p, ann, ^GET$, ^GET$')).list).toEqual(['ann GET GET']);
    // A stored entity stands for itself; others that the pattern matches have a witness.
    const stored = '- { type: doc, id: GET }';
    expect(listOf(compileMatcher(matcher, 'p, ann, GET, GET', '', undefined, stored)).list).toEqual([
      'ann GET GETx (any other in "GET") if r.obj == r.act',
      'ann GET doc:GET if "GET" == r.act',
    ]);
  });

  it('with what an attribute that is not a text makes of a rule that denies', () => {
    const denying = model('!some(where (p.eft == deny))').replace(
      /^m = .*/m,
      'm = g(r.sub, p.sub) && keyMatch2(r.obj, p.obj)',
    );
    const sources = {
      model: denying,
      manifest: 'request: { sub: subject.department }',
      rules: 'p, ann, /a, read, deny',
    };
    const set = finish(compileInSteps(sources, () => ''));
    const request = (obj: string, department: Json) => ({
      subject: { id: 'zoe', attributes: { department } },
      action: { name: 'read' },
      resource: { id: obj },
    });
    // The role is asked before the path, and a rule that denies counts where it errs.
    expect(isAllowed(set, request('/b', 'ben'), 0)).toBe(true);
    expect(isAllowed(set, request('/b', 2), 0)).toBe(false);
    expect(listOf(set).list).toEqual([
      '* * /a if !g(r.sub, "ann")',
      '* * (any other) if !(g(r.sub, "ann") && false) || !g(r.sub, "ann")',
    ]);
  });

  it('with names of the request that are taken for patterns, or for roles', () => {
    for (const term of ['keyMatch(p.sub, r.sub)', 'g(p.sub, r.sub)']) {
      const set = compileMatcher(`${term} && r.obj == p.obj && r.act == p.act`, 'p, ann, doc, read\ng, ann, boss');
      const condition = term.replace('p.sub', '"ann"');
      expect(listOf(set).list).toEqual([`(any other) read doc if ${condition}`]);
    }
  });

  it.each([
    ['eval(p.sub)', '1, doc', ['* * *']],
    ['eval(p.sub)', '0, doc', []],
    ['eval(p.sub)', 'eval(p.obj), 1', ['* * *']],
    ['eval(p.sub) && r.act == p.act', '1, doc', []],
  ])('where a number is all that the matcher %s says: %s', (matcher, columns, expected) => {
    const set = compileMatcher(matcher, `p, ${columns}, read`);
    expect(listOf(set).list).toEqual(expected);
  });

  it('without what a call that must fail would give', () => {
    const set = compileMatcher(
      'r.obj == p.obj && r.act == p.act && (r.sub == p.sub || g(0, r.sub))',
      'p, ann, doc, read',
    );
    expect(listOf(set)).toEqual({ list: ['ann read doc'], limits: [] });
  });

  it('with the actions that stand for other actions', () => {
    const set = compileMatcher(
      'r.sub == p.sub && r.obj == p.obj && g2(r.act, p.act)',
      'p, ann, data, read\ng2, write, read',
    );
    expect(listOf(set)).toEqual({ list: ['ann read data', 'ann write data'], limits: [] });
  });

  it('with a subject that is a role of resources alone', () => {
    const set = compileMatcher(
      'r.sub == p.sub && g2(r.obj, p.obj) && r.act == p.act',
      'p, ops, ops, read\ng2, data, ops',
    );
    expect(listOf(set)).toEqual({ list: ['ops read data'], limits: [] });
  });

  it('by their ids in the matcher, whatever binds the token', () => {
    const manifest = 'request: { sub: "${subject.type}:${subject.id}", obj: resource.id }';
    const set = compileMatcher(
      'r.sub.type == "user" && r.sub.id in ["ann", "ben"] && r.obj == p.obj && r.act.name == "read"',
      'p, x, data, x',
      manifest,
    );
    expect(listOf(set).list).toEqual(['user:ann read data', 'user:ben read data']);
    expect(finish(candidatesInSteps(set, 'subject', 'user')).ids).toEqual(['ann', 'ben']);
    expect(finish(candidatesInSteps(set, 'action', undefined)).ids).toEqual(['read']);
  });

  it('by types and ids from different columns', () => {
    const manifest = 'request: { kind: resource.type, obj: resource.id }';
    const rules = 'p, ann, report, 1, read\np, ann, invoice, 2, read';
    const set = compileMatcher(
      'r.sub == p.sub && r.kind == p.kind && r.obj == p.obj && r.act == p.act',
      rules,
      manifest,
    );
    expect(listOf(set)).toEqual({ list: ['ann read invoice:2', 'ann read report:1'], limits: [] });
  });

  it('in each of several ways to be allowed', () => {
    expect(listOf(compileMatcher(`${plain} || r.sub == "root"`, 'p, ann, data, read'))).toEqual({
      list: [
        'ann read data',
        'root (any other) (any other)',
        'root read (any other)',
        'root (any other) data',
        'root read data',
      ],
      limits: [],
    });
  });

  it('in regular expressions that are alternatives of words', () => {
    const set = (act: string) =>
      compileMatcher('r.sub == p.sub && r.obj == p.obj && regexMatch(r.act, p.act)', `p, ann, data, ${act}`);
    const list = ['ann GET data', 'ann PUT data'];
    for (const act of ['^(GET|PUT)$', '(GET)|(PUT)', 'GET|PUT']) {
      expect(listOf(set(act))).toEqual({ list, limits: [] });
    }
    // An action `xGET` is compared as it is by the second term, which tells it from GET.
    const both = compileMatcher(
      'r.sub == p.sub && r.obj == p.obj && (regexMatch(r.act, p.act) || r.act == "GET")',
      'p, ann, data, (GET)|(PUT)',
    );
    expect(listOf(both).list).toEqual(['ann GET data', 'ann PUT data']);
  });

  it('with a witness for each region that patterns cut', () => {
    const set = (effect: string, rules: string) =>
      compileEffect('r.sub == p.sub && keyMatch(r.obj, p.obj) && r.act == p.act', rules, effect);
    const denied = 'some(where (p.eft == allow)) && !some(where (p.eft == deny))';
    const rules = 'p, ann, /a/*, read, allow\np, ann, /a/*, write, allow\np, ann, /a/b/*, write, deny';
    expect(listOf(set(denied, rules))).toEqual({
      list: [
        'ann read /a/ (any other in "/a/*")',
        'ann write /a/ (any other in "/a/*")',
        'ann read /a/b/ (any other in "/a/*" and "/a/b/*")',
      ],
      limits: [],
    });
  });

  it('with one witness for a path in the matcher', () => {
    const set = compileMatcher('r.sub == p.sub && keyMatch(r.obj, "/open/*") && r.act == p.act', 'p, ann, x, read');
    expect(listOf(set)).toEqual({ list: ['ann read /open/ (any other in "/open/*")'], limits: [] });
  });

  it('with the name * where it is a name like any other', () => {
    expect(listOf(compileMatcher(plain, 'p, ann, *, read'))).toEqual({ list: ['ann read *'], limits: [] });
  });

  it('under conditions over what is neither stored nor given', () => {
    const matcher =
      'r.sub == p.sub && r.obj == p.obj && r.act == p.act && (r.sub.level >= 3 || r.obj.owner == r.sub.id)';
    const entities =
      '- { type: user, id: ann, attributes: { level: 5 } }\n- { type: user, id: ben, attributes: { level: 1 } }';
    const rules = 'p, ann, data, read\np, ben, data, read\np, cleo, data, read';
    expect(listOf(compileMatcher(matcher, rules, '', undefined, entities))).toEqual({
      list: [
        'cleo read data if r.sub.level >= 3 || r.obj.owner == "cleo"',
        'user:ann read data',
        'user:ben read data if r.obj.owner == "ben"',
      ],
      limits: [],
    });
  });

  it('as AuthZEN searches do', () => {
    let compared = 0;
    for (const { model, policy, load_error, needs_function } of casbinCases()) {
      if (load_error !== undefined || needs_function !== undefined) continue;
      const set = finish(compileInSteps({ model, rules: policy }, () => ''));
      const { actions, subjects, witnesses } = universeOf([set]);
      const named = actions.filter((action) => !witnesses.actions.has(action));
      expect(finish(candidatesInSteps(set, 'action', undefined)).ids).toEqual(named);
      const ids = subjects.filter((subject) => !witnesses.entities.has(subject)).map(({ id }) => id);
      expect(finish(candidatesInSteps(set, 'subject', undefined)).ids).toEqual(ids.sort());
      compared++;
    }
    expect(compared).toBeGreaterThan(20);
  });
});

/** As `compileMatcher`, with effects. */
function compileEffect(matcher: string, rules: string, effect: string, manifest = '') {
  const model = `
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, eft
[role_definition]
g = _, _
[policy_effect]
e = ${effect}
[matchers]
m = ${matcher}
`;
  return finish(compileInSteps({ model, rules, manifest }, () => ''));
}

describe('a list covers names that stand nowhere', () => {
  const some = 'some(where (p.eft == allow))';
  const plain = 'g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act';
  const everybody = `(p.sub == "*" || ${plain.replace('&&', ') &&')}`;
  const rules = 'p, ann, data, read, allow\ng, ben, ann\n';

  it.each([
    ['where rules name all that they hold for', plain, rules, some, ['ben read data']],
    ['where a rule for everybody denies', everybody, `${rules}p, *, data, read, deny\n`, some, ['ben read data']],
    [
      'where a rule holds for everybody',
      everybody,
      `${rules}p, *, data, read, allow\n`,
      some,
      ['(any other) read data', 'ben read data'],
    ],
    [
      'where what is not denied is allowed',
      'r.sub == p.sub',
      'p, ann, data, read, deny\n',
      '!some(where (p.eft == deny))',
      ['(any other) * *'],
    ],
    ['where the action does not matter', 'g(r.sub, p.sub) && r.obj == p.obj', rules, some, ['ben * data']],
  ])('%s', (_where, matcher, text, effect, list) => {
    expect(listOf(compileEffect(matcher, text, effect))).toEqual({ list, limits: [] });
  });
});

describe('a list is not complete, and names the place', () => {
  const some = 'some(where (p.eft == allow))';
  const plain = 'g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act';

  it.each([
    [
      'where a regular expression is no alternatives of words',
      'r.sub == p.sub && r.obj == p.obj && regexMatch(r.act, p.act)',
      'p, ann, data, PU?T, allow',
      '',
      'regexMatch(r.act, "PU?T") was not enumerated ("act" at policy.csv:1)',
    ],
    [
      'where a range of addresses is compared',
      'r.sub == p.sub && ipMatch(r.obj, p.obj) && r.act == p.act',
      'p, ann, 10.0.0.0/8, read, allow',
      '',
      'ipMatch(r.obj, "10.0.0.0/8") was not enumerated ("obj" at policy.csv:1)',
    ],
    [
      'where names in g are patterns',
      plain,
      'p, ann, data, read, allow\ng, user-*, ann',
      'roleMatching: { g: keyMatch }',
      'g(r.sub, "ann") was not enumerated ("sub" at policy.csv:1)',
    ],
    [
      'where the matcher may be neither true nor false, which denies',
      'r.sub.badge ?? p.sub == "x"',
      'p, ann, data, read, allow',
      '',
      'the matcher may have a result that is neither true nor false',
    ],
    [
      'where stock Casbin answers',
      plain,
      'p, ann, data, read, allow',
      'engine: casbin',
      'stock_engine: the set runs on stock Casbin, which may answer otherwise',
    ],
  ])('%s', (_where, matcher, rules, manifest, limit) => {
    expect(listOf(compileEffect(matcher, rules, some, manifest)).limits).toEqual([limit]);
  });
});
