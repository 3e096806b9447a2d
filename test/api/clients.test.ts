/**
 * Clients are generated from the built service's OpenAPI document, and call the service: in TypeScript by openapi-typescript
 * and openapi-fetch, in Python by openapi-python-client (PyPI). What they call, and how, is in test/api/clients/.
 *
 * `npm run clients` runs this and leaves the clients in the folder that VERDICT_TEST_CLIENTS names.
 */
import { execFile, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltService, startBuiltService } from '../authzen/built-service.js';
import { idModel } from '../models.js';
import { eachSpoiled } from '../packages/spoiled-allows.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const sources = fileURLToPath(new URL('clients/', import.meta.url));

/** A machine may have it under a path of its own. */
const python = process.env.VERDICT_TEST_PYTHON ?? 'python3';
const hasGenerator =
  process.env.VERDICT_TEST_REQUIRE === 'all' || spawnSync(python, ['-c', 'import openapi_python_client']).status === 0;
if (!hasGenerator) console.warn('openapi-python-client is not installed: no Python client is generated');

const rules = `p, ann, doc-1, read
p, bob, doc-1, read
p, dana, L-2231, read
`;
const files = { 'default/model.conf': idModel, 'default/rules.csv': rules };

/** The example in docs/clients.md, for the service of the test and printing what it finds out. */
function exampleIn(language: 'ts' | 'python'): string {
  const page = readFileSync(join(root, 'docs/clients.md'), 'utf8');
  const example = page.split(`\`\`\`${language}\n`)[1]!.split('```')[0]!;
  if (language === 'ts') {
    const asked = example.replace("'http://127.0.0.1:3000'", 'process.env.VERDICT_URL!');
    return `const key = process.env.VERDICT_KEY;\n${asked}console.log(JSON.stringify(allowed));\n`;
  }
  const asked = example.replace('"http://127.0.0.1:3000"', 'os.environ["VERDICT_URL"]');
  return `import json, os\nkey = os.environ["VERDICT_KEY"]\n${asked}print(json.dumps(allowed))\n`;
}

/** What each client prints. Decisions so far: one by one, three in a batch of which one is none, three of AuthZEN. */
const expected = {
  decision: { allowed: true, code: 'rule_allowed', rule: ['p', 'ann', 'doc-1', 'read'] },
  batch: ['allow', 'deny', 'urn:verdict:problem:invalid_request'],
  page: [
    ['doc-1', 'allow'],
    ['doc-1', 'allow'],
  ],
  record: { attributes: { department: 'sales', tags: ['a', 1] }, via: 'decide' },
  counts: [
    ['default', 'allow', 2],
    ['default', 'deny', 1],
  ],
  evaluation: true,
  evaluations: [true, false],
  found: ['user:ann', 'user:bob'],
  exported: 7,
  problem: { type: 'urn:verdict:problem:malformed_request', status: 400, faults: ['/resource'] },
  anonymous: 401,
};

let folder: string;
beforeAll(async () => {
  folder = process.env.VERDICT_TEST_CLIENTS ?? mkdtempSync(join(tmpdir(), 'verdict-clients-'));
  folder = resolve(root, folder);
  mkdirSync(folder, { recursive: true });
  const { stdout } = await run(process.execPath, [join(root, 'dist/cli.js'), 'openapi'], { maxBuffer: 2 ** 26 });
  writeFileSync(join(folder, 'openapi.json'), stdout);
});
afterAll(() => {
  if (process.env.VERDICT_TEST_CLIENTS === undefined) rmSync(folder, { recursive: true, force: true });
});

/** Starts a service of its own for a client, so that each finds the same log. */
async function printedBy(command: string, args: readonly string[], cwd: string): Promise<unknown> {
  const service: BuiltService = await startBuiltService(files, {}, ['decide', 'decisions:read']);
  try {
    const env = { ...process.env, VERDICT_URL: service.url, VERDICT_KEY: service.token };
    const { stdout } = await run(command, args, { cwd, env });
    return JSON.parse(stdout);
  } finally {
    await service.stop();
  }
}

/** An allow that does not come as an answer comes is false, or an error. */
async function expectNoEntry(command: string, args: readonly string[], cwd: string): Promise<void> {
  await eachSpoiled(async (url, how) => {
    const env = { ...process.env, VERDICT_URL: url, VERDICT_KEY: 'key' };
    const { stdout } = await run(command, args, { cwd, env }).catch((error) => error);
    expect(['', 'false\n'], how).toContain(stdout);
  });
}

describe('a client in TypeScript', () => {
  it('is generated, compiles with its caller, and is answered', { timeout: 240_000 }, async () => {
    const place = join(folder, 'typescript');
    mkdirSync(place, { recursive: true });
    const generator = join(root, 'node_modules/openapi-typescript/bin/cli.js');
    await run(process.execPath, [generator, join(folder, 'openapi.json'), '--output', join(place, 'verdict.d.ts')]);
    copyFileSync(join(sources, 'use.ts'), join(place, 'use.ts'));
    writeFileSync(join(place, 'example.ts'), exampleIn('ts'));
    writeFileSync(join(place, 'package.json'), '{ "type": "module" }\n');
    rmSync(join(place, 'node_modules'), { force: true });
    symlinkSync(join(root, 'node_modules'), join(place, 'node_modules'));
    const compilerOptions = { strict: true, module: 'nodenext', target: 'es2023', types: ['node'], skipLibCheck: true };
    writeFileSync(join(place, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['use.ts', 'example.ts'] }));
    // What does not compile is on standard output.
    await run(join(root, 'node_modules/.bin/tsc'), ['-p', place]).catch((error) => expect.fail(error.stdout));
    expect(await printedBy(process.execPath, ['use.js'], place)).toEqual(expected);
    expect(await printedBy(process.execPath, ['example.js'], place)).toBe(true);
    await expectNoEntry(process.execPath, ['example.js'], place);
  });
});

describe.runIf(hasGenerator)('a client in Python', () => {
  it('is generated whole, and is answered', { timeout: 240_000 }, async () => {
    const place = join(folder, 'python');
    mkdirSync(place, { recursive: true });
    const options = ['--path', join(folder, 'openapi.json'), '--config', join(sources, 'openapi-python-client.yaml')];
    const args = [
      '-m',
      'openapi_python_client',
      'generate',
      ...options,
      '--meta',
      'none',
      '--overwrite',
      '--fail-on-warning',
    ];
    const output = ['--output-path', join(place, 'verdict_client')];
    await run(python, [...args, ...output]).catch((error) => expect.fail(error.stdout + error.stderr));
    copyFileSync(join(sources, 'use.py'), join(place, 'use.py'));
    writeFileSync(join(place, 'example.py'), exampleIn('python'));
    expect(await printedBy(python, ['use.py'], place)).toEqual(expected);
    expect(await printedBy(python, ['example.py'], place)).toBe(true);
    await expectNoEntry(python, ['example.py'], place);
  });
});
