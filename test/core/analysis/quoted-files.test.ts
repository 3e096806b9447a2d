/** No message repeats more than 40 characters of any file. */
import { describe, expect, it } from 'vitest';
import { readApiKeyFile } from '../../../src/auth/api-key-file.js';
import { lintFolder } from '../../../src/cli/commands/lint-command.js';
import { PolicyError, type PolicyProblem } from '../../../src/core/problem.js';

const base = {
  'model.conf': `[request_definition]
r = sub, obj, act

[policy_definition]
p = sub, obj, act, cond

[role_definition]
g = _, _

[policy_effect]
e = some(where (p.eft == allow))

[matchers]
m = g(r.sub, p.sub) && keyMatch4(r.obj, p.obj) && r.act == p.act && eval(p.cond)
`,
  'rules.csv': 'p, nurse, chart, read, true\ng, user:ann, nurse\n',
};

/** 64 characters that occur nowhere else, as a line of a private key has. */
const secret = Array.from({ length: 64 }, (_, index) => 'QWXZJKVY'[(index * index + (index >> 3)) % 8]).join('');
const key = `-----BEGIN PRIVATE KEY-----\n${`${secret}\n`.repeat(3)}-----END PRIVATE KEY-----\n`;

async function problemsOf(files: Readonly<Record<string, string>>): Promise<readonly PolicyProblem[]> {
  const bytes = Object.entries({ ...base, ...files }).map(([path, text]) => ({ path, bytes: Buffer.from(text) }));
  const sorted = bytes.sort((a, b) => (a.path < b.path ? -1 : 1));
  return lintFolder({ name: 'set', path: 'set', files: sorted, problems: [] });
}

function longestPiece({ message, hint = '' }: Pick<PolicyProblem, 'message' | 'hint'>): number {
  let longest = 0;
  for (const text of [message, hint]) {
    for (const [run] of text.matchAll(/[QWXZJKVY]+/g))
      if (secret.includes(run)) longest = Math.max(longest, run.length);
  }
  return longest;
}

const s = secret;
const inModel = (before: string | RegExp, after: string) => ({
  'model.conf': base['model.conf'].replace(before, () => after),
});
const cond = (text: string) => ({ 'rules.csv': `${base['rules.csv']}p, nurse, chart, write, "${text}"\n` });
const rule = (line: string) => ({ 'rules.csv': `${base['rules.csv']}${line}\n` });

const places: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ...['model.conf', 'rules.csv', 'policy-set.yaml', 'entities.yaml', 'schema.yaml', 'tests/a.yaml'].map(
    (file) => [`a key as ${file}`, { [file]: key }] as const,
  ),
  ['a section', inModel('[matchers]', `[${s}]`)],
  ['a broken section', inModel('[matchers]', `[${s}`)],
  ['a line without equals', inModel('g = _, _', s)],
  ['a key', inModel('g = _, _', `${s} = 1`)],
  ['a key twice', inModel('g = _, _', `${s} = 1\n${s} = 2`)],
  ['an effect', inModel('some(where (p.eft == allow))', s)],
  ['a column twice', inModel('p = sub', `p = ${s}, ${s}, sub`)],
  ['a column of the request', inModel('r = sub', `r = ${s}, sub`)],
  ['a role definition', inModel('g = _, _', `g = _, _, ${s}`)],
  ['a constraint', inModel(/$/, `\n[constraint_definition]\nc = ${s}\n`)],
  ['a matcher', inModel(/m = .*/, `m = ${s}`)],
  ['a matcher, two words', inModel(/m = .*/, `m = ${s} ${s}`)],
  ['a text in a matcher', inModel(/m = .*/, `m = "${s}" "${s}"`)],
  ['an operator', inModel(/m = .*/, `m = r.sub $${s} p.sub`)],
  ['a function', inModel(/m = .*/, `m = ${s}(r.sub)`)],
  ['an attribute of an unknown column', inModel(/m = .*/, `m = r.${s} == p.sub`)],
  ['an attribute as a function', inModel(/m = .*/, `m = r.${s}.${s}(p.sub)`)],
  ['a number', inModel(/m = .*/, `m = r.sub == 1.2.${'1'.repeat(64)}`)],
  ['a type of rule', rule(`${s}, a, b`)],
  ['a condition', cond(`${s} ==`)],
  ['a condition of a function', cond(`${s}(r.sub)`)],
  ['a time zone', cond(`weekday('${s}') == 1`)],
  ['a regular expression', cond(`regexMatch(r.obj, '(${s}')`)],
  ['a range', cond(`ipMatch('${s}', '${s}')`)],
  ['a pattern of a rule', rule(`p, nurse, /{${s}}(, read, true`)],
  ['a role', rule(`p, ${s}, chart, read, true`)],
  ['a cycle of roles', rule(`g, ${s}, ${s}b\ng, ${s}b, ${s}`)],
  ['a broken quote', rule(`p, ${s}"${s}, a`)],
  ['a key of the manifest', { 'policy-set.yaml': `${s}: 1\n` }],
  ['a key of request', { 'policy-set.yaml': `request: { ${s}: subject.id, sub: [1] }\n` }],
  ['a binding', { 'policy-set.yaml': `request: { sub: ${s} }\n` }],
  ['a binding that is not closed', { 'policy-set.yaml': `request: { sub: "\${${s}" }\n` }],
  ['a role matching', { 'policy-set.yaml': `roleMatching: { g: ${s}, ${s}: keyMatch }\n` }],
  ['definitions', { 'policy-set.yaml': `definitions: ${s}\n` }],
  ['a code', { 'policy-set.yaml': `lint: { ${s}: ${s} }\n` }],
  ['a pointer', { 'policy-set.yaml': `decisionLog: { mask: [${s}] }\n` }],
  ['a route', { 'policy-set.yaml': `gateway: { routes: [{ path: ${s}, method: ${s} }], actions: { ${s}: ${s} } }\n` }],
  ['a template', { 'policy-set.yaml': `gateway: { resource: { type: "\${${s}}", id: "\${${s}" } }\n` }],
  ['a number as a text', { 'policy-set.yaml': `request: { sub: ${'1'.repeat(64)} }\n` }],
  ['YAML that does not end', { 'policy-set.yaml': `request: { "${s}\n` }],
  ['a tag', { 'policy-set.yaml': `request: !${s} a\n` }],
  ['an alias', { 'policy-set.yaml': `request: *${s}\n` }],
  ['an escape', { 'policy-set.yaml': `request: "\\x${s}"\n` }],
  ['a block scalar', { 'policy-set.yaml': `request: |${s}\n` }],
  ['a key of an entity', { 'entities.yaml': `- { type: user, id: a, ${s}: 1 }\n` }],
  ['an entity twice', { 'entities.yaml': `- { type: ${s}, id: ${s} }\n- { type: ${s}, id: ${s} }\n` }],
  [
    'an attribute that the schema does not know',
    {
      'schema.yaml': `subject: { ${s}: { properties: { ${s}x: {} } } }\n`,
      'entities.yaml': `- { type: ${s}, id: ${s}, attributes: { ${s}y: 1 } }\n`,
    },
  ],
  ['a keyword of a schema', { 'schema.yaml': `subject: { user: { ${s}: 1 } }\n` }],
  ['a test', { 'tests/a.yaml': `- { name: ${s}, subject: ${s}, action: ${s}, resource: ${s}, expect: ${s} }\n` }],
  [
    'a failing test',
    {
      'tests/a.yaml': `subjects: [${s}]\nresources: [${s}]\ntests:\n- { name: ${s}, subject: ${s}, action: ${s}, resource: ${s}, expect: { decision: allow, message: ${s} } }\n`,
    },
  ],
  ['a time', { 'tests/a.yaml': `- { name: a, at: ${s}, subject: ann, action: a, resource: b, expect: allow }\n` }],
];

describe('a message', () => {
  it.each(places)('repeats at most 40 characters of %s', async (_what, files) => {
    const problems = await problemsOf(files);
    expect(problems).not.toEqual([]);
    for (const problem of problems) {
      expect(longestPiece(problem), `${problem.code}: ${problem.message} ${problem.hint}`).toBeLessThanOrEqual(40);
      expect(`${problem.message}${problem.hint}`).not.toMatch(/1{41}|\n/);
    }
  });

  it.each([
    ['a key', key],
    ['a name twice', `- { name: a, scopes: [decide], sha256: ${s} }\n- { name: a, scopes: [${s}], ${s}: 1 }\n`],
    ['a time and an address', `- { name: ${s}, scopes: [decide], expires: ${s}, addresses: [${s}] }\n`],
  ])('repeats at most 40 characters of a file of keys: %s', (_what, text) => {
    const problems = (() => {
      try {
        readApiKeyFile('keys.yaml', text);
        return [];
      } catch (error) {
        return (error as PolicyError).problems;
      }
    })();
    expect(problems).not.toEqual([]);
    for (const problem of problems) expect(longestPiece(problem), problem.message).toBeLessThanOrEqual(40);
  });
});
