/**
 * Random models with rules, roles and requests. A world is small and its names are few, so that rules match, roles
 * are reached and errors happen often; every text in it is something that Casbin can read.
 */
import fc from 'fast-check';
import type { Value } from '../reference/expression.js';
import type { Context } from '../reference/reference.js';

export interface Ask {
  readonly args: Value[];
  readonly matcher?: string;
  readonly context?: Context;
}

export interface World {
  readonly model: string;
  readonly rules: string;
  readonly roleMatching?: { ptype: string; fn?: string; domainFn?: string }[];
  readonly asks: readonly Ask[];
}

const names = [
  'alice',
  'bob',
  'admin',
  'editor',
  'root',
  '',
  '*',
  '/a/*',
  '/a/b',
  '/:x',
  '__proto__',
  'ø☂',
  'a b',
  '7',
];
const domains = ['d1', 'd2', '*', 'd*', ''];
const objects = [
  'data1',
  '/a/b',
  '/a/b/c',
  '/a/*',
  '/a/:id',
  '/x/{id}',
  '/a/**',
  'd.*1',
  'constructor',
  '10.0.0.1',
  '',
];
const actions = ['read', 'write', 'list', 'GET', '*', '(GET)|(POST)', ''];
const effects = [
  'some(where (p.eft == allow))',
  '!some(where (p.eft == deny))',
  'some(where (p.eft == allow)) && !some(where (p.eft == deny))',
  'priority(p.eft) || deny',
  'subjectPriority(p.eft) || deny',
];
const patterns = ['keyMatch', 'keyMatch2', 'keyMatch3', 'keyMatch4', 'keyMatch5', 'regexMatch', 'globMatch', 'ipMatch'];
/** Those for which every name above is a pattern that compiles. */
const roleMatchers = ['keyMatch', 'globMatch'];

const oneOf = <T>(...values: readonly T[]) => fc.constantFrom(...values);
const name = oneOf(...names);
const domain = oneOf(...domains);
const object = oneOf(...objects);
const action = oneOf(...actions);

/** Weighted so that the usual is usual: `[4, arbitrary]`. */
const often = <T>(...choices: [number, fc.Arbitrary<T>][]) =>
  fc.oneof(...choices.map(([weight, arbitrary]) => ({ weight, arbitrary })));

/** What a model is made of, before its matcher is written. */
interface Shape {
  readonly domain: boolean;
  readonly eft: boolean;
  readonly priority: boolean;
  readonly condition: boolean;
  /** Columns of g (0: no role definition), and whether g2 exists. */
  readonly g: 0 | 2 | 3;
  readonly g2: boolean;
  /** Whether the links of g hold for a time. */
  readonly timed: boolean;
  readonly effect: string;
  /** Whether there are r2, p2, e2 and m2, with the same columns. */
  readonly second: boolean;
}

const shape: fc.Arbitrary<Shape> = fc
  .record({
    domain: fc.boolean(),
    eft: fc.boolean(),
    priority: often([3, fc.constant(false)], [1, fc.constant(true)]),
    condition: often([2, fc.constant(false)], [1, fc.constant(true)]),
    g: oneOf<0 | 2 | 3>(0, 2, 2, 3),
    g2: often([3, fc.constant(false)], [1, fc.constant(true)]),
    timed: often([6, fc.constant(false)], [1, fc.constant(true)]),
    effect: oneOf(...effects),
    second: often([4, fc.constant(false)], [1, fc.constant(true)]),
  })
  .map((drawn) => ({ ...drawn, g: drawn.effect === effects[4] && drawn.g === 0 ? 2 : drawn.g }));

const requestColumns = (s: Shape) => (s.domain ? ['sub', 'dom', 'obj', 'act'] : ['sub', 'obj', 'act']);
const policyColumns = (s: Shape) => [
  ...(s.priority ? ['priority'] : []),
  ...requestColumns(s),
  ...(s.condition ? ['cond'] : []),
  ...(s.eft ? ['eft'] : []),
];

const attributes = ['age', 'level', 'dept', 'tags', 'admin', 'org', 'nothing', 'constructor', '__proto__', 'x1'];
const attribute: fc.Arbitrary<string> = often(
  [4, oneOf(...attributes)],
  [1, fc.tuple(oneOf(...attributes), oneOf(...attributes)).map((path) => path.join('.'))],
);

const leaf = (value: string) => fc.constant(value);
const text = oneOf(
  '"alice"',
  "'read'",
  '"data1"',
  '""',
  '"2024-01-01"',
  '"a\\b"',
  '"ø"',
  '"r.sub"',
  '"d.+"',
  '"7"',
  '"[a]"',
);
const number = oneOf('0', '1', '2.5', '18', '.5', '0x1F', '1000000', '7');
const spaced = (...parts: string[]) => parts.join(' ');
const wrap = (inner: string) => `(${inner})`;

/** Expressions for one shape: `truth` is mostly boolean, `value` is anything, and either may fail. */
function grammar(s: Shape): { truth: fc.Arbitrary<string>; value: fc.Arbitrary<string> } {
  const column = fc.oneof(
    oneOf(...requestColumns(s).map((c) => `r.${c}`)),
    oneOf(...policyColumns(s).map((c) => `p.${c}`)),
  );
  const requestAttribute = fc
    .tuple(oneOf('r.sub', 'r.obj', 'r.act'), attribute)
    .map(([variable, path]) => `${variable}.${path}`);
  const { truth, value } = fc.letrec<{ truth: string; value: string; atom: string }>((tie) => ({
    atom: often(
      [5, column],
      [4, requestAttribute],
      [2, text],
      [2, number],
      [1, oneOf('true', 'false')],
      [1, oneOf('r_sub', 'keyGet(r.obj, p.obj)', 'keyGet2(r.obj, p.obj, "id")', 'r_sub', '[p_obj]', 'r.nosuch')],
    ),
    value: often(
      [8, tie('atom')],
      [
        1,
        fc
          .tuple(tie('atom'), oneOf('+', '-', '*', '/', '%', '**', '&', '|', '^', '<<', '>>'), tie('value'))
          .map((p) => spaced(...p)),
      ],
      [1, tie('value').map(wrap)],
      [1, tie('atom').map((atom) => `-${atom}`)],
      [1, fc.tuple(tie('truth'), tie('atom'), tie('atom')).map(([a, b, c]) => `(${a} ? ${b} : ${c})`)],
      [1, fc.tuple(tie('atom'), tie('atom')).map(([a, b]) => `(${a} ?? ${b})`)],
    ),
    truth: often(
      [5, fc.tuple(tie('value'), oneOf('==', '==', '!=', '<', '<=', '>', '>='), tie('value')).map((p) => spaced(...p))],
      [3, fc.tuple(column, column).map(([a, b]) => `${a} == ${b}`)],
      [3, fc.tuple(tie('truth'), oneOf('&&', '||'), tie('truth')).map((p) => spaced(...p))],
      [2, fc.tuple(tie('truth'), oneOf('&&', '||'), tie('truth')).map((p) => wrap(spaced(...p)))],
      [2, tie('truth').map((inner) => `!(${inner})`)],
      [1, requestAttribute.map((path) => `!${path}`)],
      [1, requestAttribute],
      [
        2,
        fc
          .tuple(tie('atom'), fc.array(tie('atom'), { minLength: 1, maxLength: 3 }))
          .map(([a, list]) => `${a} in (${list.join(', ')})`),
      ],
      [1, fc.tuple(tie('atom'), requestAttribute).map(([a, list]) => `${a} in ${list}`)],
      [2, fc.tuple(oneOf(...patterns), tie('atom'), tie('atom')).map(([f, a, b]) => `${f}(${a}, ${b})`)],
      [1, fc.tuple(tie('atom'), oneOf('=~', '!~'), tie('atom')).map((p) => spaced(...p))],
      [1, fc.tuple(tie('truth'), tie('truth'), tie('truth')).map(([a, b, c]) => `(${a} ? ${b} : ${c})`)],
      [s.g === 0 ? 0 : 3, s.g === 0 ? leaf('true') : roleCall(s, tie('atom'))],
    ),
  }));
  return { truth, value };
}

function roleCall(s: Shape, atom: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const usual =
    s.g === 3 && s.domain
      ? ['g(r.sub, p.sub, r.dom)', 'g(r.sub, p.sub)']
      : ['g(r.sub, p.sub)', 'g(r.sub, p.sub, r.act)'];
  return often(
    [4, oneOf(...usual, ...(s.g2 ? ['g2(r.obj, p.obj)'] : []))],
    [1, fc.array(atom, { minLength: 1, maxLength: 4 }).map((args) => `g(${args.join(', ')})`)],
  );
}

/** Mostly the usual conjunction, with something unusual in it somewhere. */
function matcher(s: Shape): fc.Arbitrary<string> {
  const { truth, value } = grammar(s);
  const usual = [
    s.g === 0 ? 'r.sub == p.sub' : s.g === 3 && s.domain ? 'g(r.sub, p.sub, r.dom)' : 'g(r.sub, p.sub)',
    s.g2 ? 'g2(r.obj, p.obj)' : 'r.obj == p.obj',
    ...(s.domain ? ['r.dom == p.dom', 'keyMatch(r.dom, p.dom)'] : []),
    'r.act == p.act',
    'r.act in ("read", "list")',
    'keyMatch(r.obj, p.obj)',
    'regexMatch(r.act, p.act)',
    ...(s.condition ? ['eval(p.cond)', 'eval(p.cond)', '!eval(p.cond)'] : []),
  ];
  const usualTerms = fc.subarray(usual);
  return often(
    [
      6,
      fc
        .tuple(usualTerms, often([2, fc.constant<string[]>([])], [3, fc.tuple(truth)]), fc.nat(5))
        .map(([terms, odd, at]) => {
          const all = [...terms];
          all.splice(Math.min(at, all.length), 0, ...odd);
          return all.length === 0 ? 'r.sub == p.sub' : all.join(' && ');
        }),
    ],
    [1, fc.tuple(usualTerms, truth).map(([terms, odd]) => [...terms, odd].join(' && ') || odd)],
    [2, fc.tuple(usualTerms, truth).map(([terms, odd]) => [terms.join(' && ') || 'true', odd].join(' || '))],
    [1, truth],
    [1, value],
  );
}

const condition: fc.Arbitrary<string> = fc.oneof(
  oneOf(
    'true',
    'false',
    'r.sub.age >= 18',
    'r.sub.age > 18 && r.sub.dept == "sales"',
    'r.sub == "alice"',
    'r.obj == p.obj',
    'true || r.sub.x',
    'false) || (true',
    'r.sub.age >',
    '',
    '1',
    '"text"',
    'r.sub.tags',
    'keyMatch(r.obj, "/a/*")',
    'regexMatch(r.act, "^GE\\T$")',
    'eval("true")',
    'g(r.sub, "admin")',
    'r.act in ("read", "GET")',
    '!r.sub.admin',
    'p.sub == r.sub',
  ),
  grammar({
    domain: false,
    eft: false,
    priority: false,
    condition: false,
    g: 0,
    g2: false,
    timed: false,
    effect: '',
    second: false,
  }).truth,
);

const quote = (field: string) => (/[",#]|^\s|\s$|^$/.test(field) ? `"${field.replaceAll('"', '""')}"` : field);
const line = (...fields: string[]) => fields.map(quote).join(', ');

function rule(s: Shape): fc.Arbitrary<string> {
  const field: Record<string, fc.Arbitrary<string>> = {
    sub: name,
    dom: domain,
    // As the pattern of a role function a text that does not compile would fail every question.
    obj: s.g2 ? object : often([12, object], [1, leaf('[')]),
    act: action,
    cond: condition,
    eft: often([5, leaf('allow')], [3, leaf('deny')], [1, oneOf('', 'Deny', 'unknown')]),
    priority: fc.integer({ min: -2, max: 12 }).map(String),
  };
  const ptype = s.second ? oneOf('p', 'p2') : leaf('p');
  return fc.tuple(ptype, ...policyColumns(s).map((c) => field[c]!)).map((fields) => line(...fields));
}

const time = oneOf('_', '_', '2000-01-01 00:00:00', '2100-01-01 00:00:00', '2024-05-32 00:00:00', 'soon');

/** Links go from a later name to an earlier one, so that a definition without domain has no cycle. */
function link(ptype: string, pool: readonly string[], withDomain: boolean, timed: boolean): fc.Arbitrary<string> {
  return fc
    .tuple(fc.nat(pool.length - 1), fc.nat(pool.length - 1), domain, time, time)
    .filter(([a, b]) => a !== b)
    .map(([a, b, d, ...times]) => {
      const names = [pool[Math.max(a, b)]!, pool[Math.min(a, b)]!];
      const fields = [...names, ...(withDomain ? [d] : []), ...(timed ? times : [])];
      return line(ptype, ...fields);
    });
}

const attributeValue: fc.Arbitrary<Value> = fc.oneof(
  oneOf<Value>(17, 18, 0, -1, 2.5, 1e6, '18', 'sales', 'alice', '', null, true, false),
  oneOf<Value>(['read', 'alice'], [], [1, 2], [null], { level: 3, dept: 'sales', org: { age: 20 } }, {}),
);
const entity: fc.Arbitrary<Value> = fc
  .tuple(fc.subarray(attributes, { minLength: 3 }), fc.infiniteStream(attributeValue))
  .map(([present, stream]) => Object.fromEntries(present.map((key) => [key, stream.next().value])) as Value);
const odd: fc.Arbitrary<Value> = oneOf<Value>(
  null,
  7,
  0,
  true,
  ['alice'],
  [['alice', 'bob']],
  'toString',
  'alice ',
  'ALICE',
  '\u{1F600}',
  '\uFF5E',
);

function ask(s: Shape): fc.Arbitrary<Ask> {
  const column: Record<string, fc.Arbitrary<Value>> = {
    sub: often<Value>([6, name], [4, entity], [1, odd]),
    dom: often<Value>([9, domain], [1, odd]),
    obj: often<Value>([6, object], [2, entity], [1, odd]),
    act: often<Value>([9, action], [1, odd]),
  };
  const args = fc.tuple(...requestColumns(s).map((c) => column[c]!));
  return often<Ask>(
    [12, args.map((values) => ({ args: values }))],
    [2, fc.tuple(args, matcher(s)).map(([values, given]) => ({ args: values, matcher: given }))],
    [1, fc.array(name, { maxLength: 5 }).map((values) => ({ args: values }))],
    [s.second ? 12 : 1, args.map((values) => ({ args: values, context: '2' }))],
    [s.second ? 3 : 0, args.map((values) => ({ args: values, context: { r: 'r2', p: 'p2', m: 'm2' } }))],
  );
}

function modelText(s: Shape, written: string, second: string): string {
  const define = (key: string, value: string) => `${key} = ${value}\n${s.second ? `${key}2 = ${value}\n` : ''}`;
  const roles =
    s.g === 0
      ? ''
      : `[role_definition]\ng = ${s.g === 3 ? '_, _, _' : '_, _'}${s.timed ? ', (_, _)' : ''}\n${s.g2 ? 'g2 = _, _\n' : ''}`;
  return `[request_definition]
${define('r', requestColumns(s).join(', '))}[policy_definition]
${define('p', policyColumns(s).join(', '))}${roles}[policy_effect]
${define('e', s.effect)}[matchers]
m = ${written}
${s.second ? `m2 = ${second.replace(/\b([rp])\./g, '$12.')}\n` : ''}`;
}

/** The tree of `subjectPriority` has one root, since several of different depth have no order in Casbin. */
const treeNames = ['root', 'admin', 'editor', 'alice', 'bob'];

export const world: fc.Arbitrary<World> = shape
  .map((drawn) => (drawn.g === 0 ? { ...drawn, g2: false } : drawn))
  .chain((s) => {
    const tree = s.effect === effects[4];
    const links = tree
      ? fc.tuple(
          ...treeNames
            .slice(1)
            .map((child, i) =>
              fc
                .nat(i)
                .map((parent) =>
                  line('g', child, treeNames[parent]!, ...(s.g === 3 ? ['d1'] : []), ...(s.timed ? ['_', '_'] : [])),
                ),
            ),
        )
      : fc.array(link('g', names, s.g === 3, s.timed), { maxLength: 8 });
    return fc.record({
      model: fc.tuple(matcher(s), matcher(s)).map(([first, second]) => modelText(s, first, second)),
      rules: fc
        .tuple(
          often([6, fc.array(rule(s), { maxLength: 8 })], [1, fc.array(rule(s), { minLength: 9, maxLength: 60 })]),
          s.g === 0 ? fc.constant<string[]>([]) : links,
          s.g2 ? fc.array(link('g2', objects, false, false), { maxLength: 5 }) : fc.constant<string[]>([]),
        )
        .map((lines) => lines.flat().join('\n')),
      roleMatching:
        s.g === 0 || tree
          ? fc.constant([])
          : fc.array(
              fc
                .record({
                  ptype: oneOf('g', ...(s.g2 ? ['g2'] : [])),
                  fn: oneOf(undefined, ...roleMatchers),
                  domainFn: oneOf(undefined, undefined, 'keyMatch'),
                })
                .map(({ ptype, fn, domainFn }) => ({
                  ptype,
                  ...(fn && { fn }),
                  ...(domainFn && s.g === 3 && ptype === 'g' && { domainFn }),
                })),
              { maxLength: 1 },
            ),
      asks: fc.array(ask(s), { minLength: 12, maxLength: 24 }),
    });
  });
