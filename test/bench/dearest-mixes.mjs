/**
 * Policy sets and requests that make an evaluation as dear as it can be: each takes more steps than there are, so that
 * the budget ends it. The requests are as large as the service lets them be.
 */

const modelOf = (matcher, { roles = '', columns = 'sub, obj, act', effect = 'some(where (p.eft == allow))' } = {}) =>
  `[request_definition]
r = sub, obj, act
[policy_definition]
p = ${columns}
${roles === '' ? '' : `[role_definition]\n${roles}\n`}[policy_effect]
e = ${effect}
[matchers]
m = ${matcher}
`;

const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
const times = (count, line) => Array.from({ length: count }, (_, at) => line(at));

/** Rules that nothing picks out: each is asked. */
const manyRules = (pattern, count = 40_000) => times(count, (at) => `p, x${at}, ${quoted(pattern(at))}, y`).join('\n');

const longId = 'a'.repeat(1_024);
const longPath = '/a'.repeat(512);
const longText = 'ab'.repeat(400_000);
const membersOf = (make) => Object.fromEntries(times(1_000, (at) => [`m${at}`, make(at)]));

const mix = (name, matcher, rules, request, options = {}) => ({
  name,
  model: modelOf(matcher, options),
  rules,
  suffices: options.suffices === true,
  request: [request.sub ?? 'alice', request.obj ?? 'doc', request.act ?? 'read'],
  ...(options.manifest !== undefined && { manifest: options.manifest }),
});

/** A rule is asked although the matcher reads nothing else of it. */
const each = (term) => `p.sub != "" && ${term}`;

const plainRoles = { roles: 'g = _, _' };

export const dearestMixes = [
  mix(
    'rules that nothing picks out',
    'r.sub.a == p.sub',
    manyRules(() => 'doc', 400_000),
    { sub: { a: 1 } },
  ),
  mix(
    'rules of which each fails',
    'r.sub.missing == p.sub',
    manyRules(() => 'doc', 100_000),
    { sub: {} },
  ),
  mix(
    'arithmetic',
    each('((r.sub.a * 3 + 2 - 1) * (r.sub.a + 5) / 3) % 7 == -1 && r.sub.a ** 2 > 0'),
    manyRules(() => 'doc'),
    { sub: { a: 2 } },
  ),
  mix(
    'operations on bits',
    each('((r.sub.a << 3 | 5) & 7 ^ 2) >> 1 == 77'),
    manyRules(() => 'doc'),
    { sub: { a: 2 } },
  ),
  mix(
    'conditions that evaluate conditions',
    'eval(p.c0)',
    `p, ${times(14, (at) => `eval(p.c${at + 1}) || eval(p.c${at + 1})`).join(', ')}, false`,
    {},
    { columns: times(15, (at) => `c${at}`).join(', ') },
  ),
  mix(
    'conditions of attributes',
    'eval(p.obj)',
    manyRules((at) => `r.sub.a > ${at + 9} && r.sub.b == "x" || r.sub.c != "y" && r.sub.d < ${at}`),
    { sub: { a: 1, b: 'x', c: 'y', d: 1 } },
  ),
  mix(
    'conditions put together',
    'eval("r.sub" + p.obj)',
    manyRules((at) => ` == "${at}"`),
    { sub: 'a' },
  ),
  mix(
    'keyMatch',
    each('keyMatch(r.obj, p.obj)'),
    manyRules((at) => `/b/${at}*`),
    { obj: longId },
  ),
  mix(
    'keyMatch2',
    each('keyMatch2(r.obj.path, p.obj)'),
    manyRules((at) => `/a/:id/b${at}`),
    { obj: { path: longPath } },
  ),
  mix(
    'keyMatch2 with a star in the middle',
    'keyMatch2(r.obj.path, p.obj)',
    manyRules((at) => `/*/a/a/a/b/*/c${at}`),
    { obj: { path: longPath } },
  ),
  mix(
    'keyMatch2 on a text of a megabyte',
    'keyMatch2(r.obj.path, p.obj)',
    manyRules((at) => `/*/a/a/a/b/*/c${at}`),
    { obj: { path: '/a'.repeat(400_000) } },
  ),
  mix(
    'keyMatch3 as a regular expression',
    'keyMatch3(r.obj.path, p.obj)',
    manyRules((at) => `/*/{x}.pd(f|g)${at}`, 2_000),
    { obj: { path: '/a'.repeat(10_000) } },
  ),
  mix(
    'keyMatch4',
    'keyMatch4(r.obj.path, p.obj)',
    manyRules((at) => `/{x}/{y}/{x}${at}/*`, 4_000),
    { obj: { path: '/a'.repeat(20_000) } },
  ),
  mix(
    'keyMatch5',
    'keyMatch5(r.obj.path, p.obj)',
    manyRules((at) => `/a/{x}/b${at}`),
    { obj: { path: `${longPath}?q=1` } },
  ),
  mix(
    'keyGet2 with a pattern a rule',
    'keyGet2(r.obj.path, p.obj, "id") == "x"',
    manyRules((at) => `/a/:id/(b|c)${at}`, 4_000),
    { obj: { path: longPath } },
  ),
  mix(
    'keyGet3',
    'keyGet3(r.obj.path, p.obj, "id") == "x"',
    manyRules((at) => `/a/{id}/b${at}`),
    { obj: { path: longPath } },
  ),
  mix(
    'globMatch',
    'globMatch(r.obj, p.obj)',
    manyRules((at) => `/a/*/b${at}`),
    { obj: longPath },
  ),
  mix(
    'globMatch with many stars',
    'globMatch(r.obj, p.obj)',
    manyRules((at) => `${'*a'.repeat(50)}${at}`, 2_000),
    {
      obj: longId,
    },
  ),
  mix(
    'globMatch with double stars',
    'globMatch(r.obj, p.obj)',
    manyRules((at) => `${'**/a/'.repeat(40)}${at}`, 2_000),
    { obj: longPath },
  ),
  mix(
    'globMatch with alternatives',
    'globMatch(r.obj, p.obj)',
    manyRules((at) => `${'{a,b,}'.repeat(16)}${at}`, 200),
    {
      obj: longId,
    },
  ),
  mix(
    'regexMatch',
    'regexMatch(r.obj, p.obj)',
    manyRules((at) => `/a/[0-9]+/b${at}$`, 4_000),
    { obj: '/a/12345/b'.repeat(100) },
  ),
  mix(
    'regexMatch in nested repetitions',
    'regexMatch(r.obj, p.obj)',
    manyRules((at) => `(a+)+${at}$`, 4_000),
    {
      obj: longId,
    },
  ),
  mix(
    'regexMatch with many ways',
    'regexMatch(r.obj, p.obj)',
    manyRules((at) => `^(a?){200}a{200}${at}$`, 50),
    { obj: longId },
  ),
  mix(
    'regexMatch with states that double',
    'regexMatch(r.obj, p.obj)',
    manyRules((at) => `(a|b)*a(a|b){100}c${at}|z`, 50),
    { obj: 'abaab'.repeat(204) },
  ),
  mix(
    'regexMatch on a long text',
    'regexMatch(r.obj.text, p.obj)',
    manyRules((at) => `(ab)+${at}$`, 1_000),
    {
      obj: { text: longText },
    },
  ),
  mix(
    'regexMatch of classes',
    'regexMatch(r.obj, p.obj)',
    manyRules((at) => `([\\pL\\pN]+[^\\pZ]*)+#${at}$`, 500),
    {
      obj: 'é1'.repeat(512),
    },
  ),
  mix(
    'regexMatch with a pattern of the request',
    each('regexMatch(r.obj, r.sub + p.obj)'),
    manyRules((at) => `${at}`),
    {
      obj: longId,
      sub: '(a|b|[^\\pL])+x{9}',
    },
  ),
  mix(
    'ipMatch',
    'ipMatch(r.obj, p.obj)',
    manyRules((at) => `10.${at % 256}.0.0/16`),
    { obj: '11.2.3.4' },
  ),
  mix(
    'ipMatch of long addresses',
    'ipMatch(r.obj, p.obj)',
    manyRules((at) => `2001:db8:${at % 9999}::/48`),
    {
      obj: '1234:5678:9abc:def0:1234:5678:9abc:def0',
    },
  ),
  mix(
    'ipMatch that fails',
    'ipMatch(r.obj, p.obj)',
    manyRules(() => '10.0.0.0/8'),
    { obj: 'nowhere' },
  ),
  mix(
    'ipInRanges',
    'ipInRanges(r.obj, p.obj)',
    manyRules((at) => `${`10.${at % 256}.0.0/16, `.repeat(20)}10.0.0.0/8`),
    {
      obj: '11.2.3.4',
    },
  ),
  mix(
    'ipInRanges of a list',
    each('ipInRanges(r.obj.ip, r.obj.ranges)'),
    manyRules(() => 'doc'),
    {
      obj: { ip: '11.2.3.4', ranges: times(900, () => '2001:db8:1:2:3:4:5:6/64') },
    },
  ),
  mix(
    'timestamp',
    each('timestamp(r.obj.at) < 5'),
    manyRules(() => 'doc'),
    { obj: { at: '2026-03-01T09:00:00.123456Z' } },
  ),
  mix(
    'time zones',
    'weekday(p.obj) == 9',
    manyRules((at) => zoneSpelling(at)),
    {},
  ),
  mix(
    'times that fail',
    each('betweenHours("Europe/Berlin", "1", "2")'),
    manyRules(() => 'doc'),
    {},
  ),
  mix(
    'a list of a thousand numbers',
    each('r.sub.a in r.obj.list'),
    manyRules(() => 'doc'),
    {
      sub: { a: -1 },
      obj: { list: times(999, (at) => at) },
    },
  ),
  mix(
    'a list of long texts that differ at their end',
    each('r.sub.a in r.obj.list'),
    manyRules(() => 'doc'),
    {
      sub: { a: `${'q'.repeat(900)}x` },
      obj: JSON.parse(JSON.stringify({ list: times(999, (at) => `${'q'.repeat(897)}${1000 + at}`) })),
    },
  ),
  mix(
    'lists that are made for each rule',
    each('r.sub.a in (r.sub.b, r.sub.c, r.sub.d, p.act)'),
    manyRules(() => 'doc'),
    {
      sub: { a: 1, b: 2, c: 3, d: 4 },
    },
  ),
  mix(
    'lists that grow out of lists',
    each('r.sub.a in (r.obj.list, p.act)'),
    manyRules(() => 'doc'),
    {
      sub: { a: -1 },
      obj: { list: times(999, (at) => at) },
    },
  ),
  mix(
    'objects compared',
    each('r.sub == r.obj'),
    manyRules(() => 'doc'),
    {
      sub: { ...membersOf((at) => at), last: 1 },
      obj: { ...membersOf((at) => at), last: 2 },
    },
  ),
  mix(
    'nested objects compared',
    each('r.sub.a == r.obj.a'),
    manyRules(() => 'doc'),
    {
      sub: { a: membersOf((at) => ({ b: [at, { c: `${at}` }] })) },
      obj: { a: { ...membersOf((at) => ({ b: [at, { c: `${at}` }] })), m999: 0 } },
    },
  ),
  mix(
    'long texts compared',
    each('r.sub.a == r.obj.a'),
    manyRules(() => 'doc'),
    {
      sub: { a: `${longText}x` },
      obj: { a: `${longText}y` },
    },
  ),
  mix(
    'long texts put in order',
    each('r.sub.a > r.obj.a'),
    manyRules(() => 'doc'),
    {
      sub: { a: `${longText}x` },
      obj: { a: `${longText}y` },
    },
  ),
  mix(
    'texts joined',
    each('r.sub.a + p.sub + r.sub.a == "x"'),
    manyRules(() => 'doc'),
    { sub: { a: longText } },
  ),
  mix(
    'texts joined and read',
    each('keyMatch(r.sub.a + p.sub + r.sub.a, "/x*")'),
    manyRules(() => 'doc'),
    {
      sub: { a: longText },
    },
  ),
  mix(
    'objects written as text',
    each('r.sub.a + "" == "x"'),
    manyRules(() => 'doc'),
    {
      sub: { a: membersOf((at) => ({ b: at + 0.5 })) },
    },
  ),
  mix(
    'other names in each rule',
    'g(p.sub, r.sub) || g(p.obj, r.obj)',
    [
      ...times(3_000, (at) => `p, u${at}, v${at}, y`),
      ...times(3_000, (at) => `g, u${at}, u${at}a\ng, u${at}a, u${at}b\ng, u${at}b, u${at}c\ng, v${at}, u${at}`),
      ...times(3_000, (at) => times(9, (n) => `g, u${at}c, w${(at * 9 + n) % 500}`).join('\n')),
    ].join('\n'),
    {},
    plainRoles,
  ),
  mix(
    'a thousand roles with the request, each high up',
    'hasRole(r.sub.roles, p.sub)',
    [
      ...times(3_000, (at) => `p, q${at}, doc, y`),
      ...times(1_000, (at) => times(8, (n) => `g, ${n === 0 ? `h${at}` : `h${at}n${n}`}, h${at}n${n + 1}`).join('\n')),
      ...times(1_000, (at) => times(20, (n) => `g, h${at}n8, top${(at + n * 7) % 900}`).join('\n')),
    ].join('\n'),
    { sub: { roles: times(1_000, (at) => `h${at}`) } },
    plainRoles,
  ),
  mix(
    'role patterns that begin with a star',
    'g(r.sub, p.sub)',
    [...times(20_000, (at) => `g, *${at}*x, role${at}`), 'p, nobody, doc, read'].join('\n'),
    { sub: longId },
    { ...plainRoles, suffices: true, manifest: { roleMatching: { g: 'globMatch' } } },
  ),
  mix(
    'roles that are patterns of names',
    'g(r.sub, p.sub)',
    [...times(3_000, (at) => `g, user${at}, *${at}a*b`), ...times(3_000, (at) => `p, *${at}c*d*, doc, read`)].join(
      '\n',
    ),
    { sub: 'user7' },
    { ...plainRoles, manifest: { roleMatching: { g: 'globMatch' } } },
  ),
  mix(
    'role patterns as regular expressions',
    'g(r.sub, p.sub)',
    [...times(1_000, (at) => `g, ${quoted(`(a|b)*a(a|b)${at}`)}, role${at}`), 'p, nobody, doc, read'].join('\n'),
    { sub: 'ab'.repeat(500) },
    { ...plainRoles, manifest: { roleMatching: { g: 'regexMatch' } } },
  ),
  mix(
    'domains that are patterns',
    'g(r.sub, p.sub, r.obj) && r.act == p.act',
    [...times(20_000, (at) => `g, alice, role${at}, *${at}*x`), 'p, nobody, doc, read'].join('\n'),
    { obj: longId },
    { roles: 'g = _, _, _', suffices: true, manifest: { roleMatching: { g: { domains: 'globMatch' } } } },
  ),
  mix(
    'links that hold for a time',
    'g(r.sub, p.sub) || g(p.obj, r.sub)',
    [
      ...times(20_000, (at) => `g, alice, role${at}, _, 2030-01-01 00:00:00`),
      ...times(20_000, (at) => `g, role${at}, top${at % 500}, 2020-01-01 00:00:00, _`),
      ...times(20_000, (at) => `p, nobody${at}, role${at}, read`),
    ].join('\n'),
    {},
    { roles: 'g = _, _, (_, _)' },
  ),
  mix(
    'a name with very many roles',
    'g(r.sub, p.sub) && r.obj == p.obj',
    [...times(150_000, (at) => `g, alice, role${at}`), ...times(1_000, (at) => `p, role${at}, doc, x`)].join('\n'),
    {},
    plainRoles,
  ),
  mix(
    'very many rules of several keys',
    'g(r.sub, p.sub) && r.obj == p.obj && r.act == "nothing"',
    [...times(10, (at) => `g, alice, role${at}`), ...times(400_000, (at) => `p, role${at % 10}, doc, a${at}`)].join(
      '\n',
    ),
    {},
    plainRoles,
  ),
  mix(
    'all attributes of an entity',
    each('r.sub.a.b.c.d.e.f == 1 || has(r.sub.a.b.c.d.e.x)'),
    manyRules(() => 'doc', 100_000),
    {
      sub: { a: { b: { c: { d: { e: { f: 2 } } } } } },
    },
  ),
];

/** Few zones, spelled in many mixtures of case: none of the spellings is at hand. */
function zoneSpelling(at) {
  return [...'Europe/Berlin']
    .map((letter, bit) => ((at >> bit) & 1 ? letter.toUpperCase() : letter.toLowerCase()))
    .join('');
}
