/** What `verdict lint --output sarif` writes, against the schema of the standard. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { verdict, workFolder } from './run.js';

const path = fileURLToPath(new URL('../fixtures/sarif/sarif-schema-2.1.0.json', import.meta.url));
// It is draft 4 by name and uses nothing that later drafts read otherwise; Ajv knows only those.
const { $schema: _draft, id: _id, ...schema } = JSON.parse(readFileSync(path, 'utf8'));
const uriCharacters = /^([\w\-.~:/?#[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*$/;
const validate = new Ajv({
  strict: false,
  allErrors: true,
  formats: {
    uri: (text) => URL.canParse(text) && uriCharacters.test(text),
    'uri-reference': (text) => URL.canParse(text, 'https://example.org') && uriCharacters.test(text),
    'date-time': (text) => !Number.isNaN(Date.parse(text)),
  },
}).compile(schema);

async function sarif(args: readonly string[], cwd: string, command = 'lint') {
  const { stdout, stderr } = await verdict([command, '--output', 'sarif', ...args], { cwd });
  expect(stderr).toBe('');
  const log = JSON.parse(stdout);
  validate(log);
  expect(validate.errors ?? []).toEqual([]);
  return log.runs[0];
}

it('is checked by a schema that refuses what is wrong', () => {
  const run = { tool: { driver: { name: 'verdict' } }, results: [{ message: { text: 'a' }, level: 'bad' }] };
  expect(validate({ version: '2.1.0', runs: [run] })).toBe(false);
  expect(validate({ version: '2.1.0', runs: [{ results: [] }] })).toBe(false);
  const at = { physicalLocation: { artifactLocation: { uri: 'a b' }, region: { startLine: 0 } } };
  const placed = { tool: run.tool, results: [{ message: { text: 'a' }, locations: [at] }] };
  expect(validate({ version: '2.1.0', runs: [placed] })).toBe(false);
  expect(validate.errors!.map(({ keyword }) => keyword).sort()).toEqual(['format', 'minimum']);
});

describe('SARIF', () => {
  it('of the bundled sets has no result', async () => {
    expect((await sarif(['policies'], workFolder())).results).toEqual([]);
  });

  it('of files that cannot be read, of a folder without a model, and of every kind of fault', async () => {
    const cwd = workFolder();
    const broken = {
      'policies/default/binary.csv': Buffer.from([0, 1, 2]),
      'policies/default/entities.yaml': 'a: [',
      'policies/invoices/more.csv': 'p, invoice, read, r.sub.department = 1, allow, why, []\n',
      'policies/deployments/more.csv': 'x, y\np, "a\n',
      'policies/api-gateway/schema.yaml': 'subject: { user: { propertys: {} } }\n',
      'policies/api-gateway/tests/wrong.yaml': 'tests: [{ name: a }]\n',
      'policies/nothing/rules.csv': 'p, a, b, c\n',
      'policies/workspaces/more.csv':
        'p, editor, *, project, read\n# lint-ignore shadowed_rule\np, viewer, *, task, read\n',
    };
    for (const [file, content] of Object.entries(broken)) {
      mkdirSync(join(cwd, file, '..'), { recursive: true });
      writeFileSync(join(cwd, file), content);
    }
    const { results, tool } = await sarif(['policies'], cwd);
    const codes = new Set(results.map(({ ruleId }: { ruleId: string }) => ruleId));
    for (const code of [
      'binary_file',
      'bad_quotes',
      'condition_syntax',
      'model_missing',
      'unknown_key',
      'silence_without_reason',
    ])
      expect(codes).toContain(code);
    for (const { ruleId, ruleIndex } of results) expect(tool.driver.rules[ruleIndex].id).toBe(ruleId);
  });

  it('of tests that fail has their places', async () => {
    const cwd = workFolder();
    const tests = 'tests:\n  - { name: no, subject: dana, action: read, resource: L-2231, expect: deny }\n';
    writeFileSync(join(cwd, 'policies/default/tests/wrong.yaml'), tests);
    const { results } = await sarif(['policies'], cwd, 'test');
    expect(results).toMatchObject([
      {
        ruleId: 'failing_test',
        level: 'error',
        locations: [
          {
            physicalLocation: {
              artifactLocation: { uri: 'policies/default/tests/wrong.yaml' },
              region: { startLine: 2, startColumn: 5 },
            },
          },
        ],
      },
    ]);
  });

  it('names files as URIs, whatever their names are', async () => {
    const cwd = workFolder();
    const name = 'a#b?c%20 d:é😀.csv';
    writeFileSync(join(cwd, 'policies/default', name), 'p, nurse\n');
    const uri = ({ results }: Awaited<ReturnType<typeof sarif>>) =>
      results[0].locations[0].physicalLocation.artifactLocation.uri;
    const relative = uri(await sarif(['policies/default'], cwd));
    expect(relative.split('/').map(decodeURIComponent)).toEqual(['policies', 'default', name]);
    expect(uri(await sarif([join(cwd, 'policies/default')], cwd))).toBe(
      pathToFileURL(join(cwd, 'policies/default', name)).href,
    );
  });
});
