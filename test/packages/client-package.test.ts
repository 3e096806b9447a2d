/** `@verdict/client` as it is packed: what is in it, how large it is, and where it runs. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltService, startBuiltService } from '../authzen/built-service.js';
import { idModel } from '../models.js';
import { ScratchProject } from './scratch-project.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Minified and compressed, in bytes. */
const mostBytes = 12 * 1024;

const project = new ScratchProject();
let files: readonly string[];
let service: BuiltService;
beforeAll(async () => {
  files = project.install('client');
  service = await startBuiltService({ 'default/model.conf': idModel, 'default/rules.csv': 'p, ann, doc-1, read\n' });
});
afterAll(async () => {
  project.remove();
  await service.stop();
});

/** Asks in every way for which a page or an edge function needs the platform, and says what comes of it as JSON. */
const use = (client: string) => `(async () => {
  const { VerdictClient, VerdictUnavailable } = ${client};
  const options = { baseUrl: '${service.url}', apiKey: '${service.token}', timeoutMs: 60000 };
  const verdict = new VerdictClient({ ...options, batch: true });
  const question = { subject: 'ann', action: 'read', resource: 'doc-1' };
  const answers = await Promise.all([verdict.can(question), verdict.can({ ...question, subject: 'eve' })]);
  const single = await new VerdictClient(options).decide(question);
  const silent = new VerdictClient({ ...options, baseUrl: 'http://127.0.0.1:1' });
  const error = await silent.can(question).catch((thrown) => thrown);
  const denied = await silent.decide(question, { onUnavailable: 'deny' });
  return JSON.stringify([...answers, single.reason.code, error instanceof VerdictUnavailable, error.kind, denied.reason.code]);
})()`;
const outcome = [true, false, 'rule_allowed', true, 'network', 'unavailable'];

it('has nothing in it but what is built, and no dependency', () => {
  expect(
    files.filter(
      (path) => !/^(dist\/(esm|cjs)\/(local\/)?[\w-]+\.(js|d\.ts)|dist\/cjs\/package\.json|package\.json)$/.test(path),
    ),
  ).toEqual([]);
  const read = (file: string) => JSON.parse(readFileSync(join(root, file), 'utf8'));
  const [service, client] = [read('package.json'), read('packages/client/package.json')];
  expect(client.version).toBe(service.version);
  expect(client.private).toBe(true);
  expect(client).not.toHaveProperty('dependencies');
  expect(client.peerDependencies).toEqual({ '@verdict/engine': service.version });
  expect(client.peerDependenciesMeta).toEqual({ '@verdict/engine': { optional: true } });
});

it('asks where it is imported, and where it is required', () => {
  const imported = `import * as client from '@verdict/client';\nconsole.log(await ${use('client')});`;
  const required = `const client = require('@verdict/client');\n${use('client')}.then(console.log);`;
  expect(JSON.parse(project.run(process.execPath, [project.write('a.mjs', imported)]))).toEqual(outcome);
  expect(JSON.parse(project.run(process.execPath, [project.write('a.cjs', required)]))).toEqual(outcome);
});

it('is installed by npm from the file that npm pack makes, and brings nothing along', () => {
  const elsewhere = new ScratchProject();
  const file = project
    .run('ls', [project.folder])
    .split('\n')
    .find((name) => name.endsWith('.tgz'));
  elsewhere.run('npm', ['install', '--no-audit', '--no-fund', join(project.folder, file!)]);
  expect(elsewhere.run('ls', [join(elsewhere.folder, 'node_modules')])).toBe('@verdict\n');
  expect(elsewhere.run('ls', [join(elsewhere.folder, 'node_modules/@verdict')])).toBe('client\n');
  elsewhere.remove();
});

it('needs the engine for the mock alone', () => {
  const script = project.write(
    'mock.mjs',
    `import '@verdict/client';\nawait import('@verdict/client/mock').catch((error) => console.log(error.message));`,
  );
  expect(project.run(process.execPath, [script])).toContain("Cannot find package '@verdict/engine'");
});

it('has types for both kinds of modules, with what Node knows or with what browsers know', () => {
  const source = `import { type Decision, VerdictClient, type VerdictClientOptions, VerdictProblem } from '@verdict/client';
const options: VerdictClientOptions = { baseUrls: ['https://a.example', new URL('https://b.example')], batch: true };
const verdict = new VerdictClient(options);
export async function use(signal: AbortSignal) {
  const question = { subject: { type: 'user', id: 'ann', attributes: { level: 3 } }, action: 'read', resource: 'doc-1' };
  const decision: Decision = await verdict.decide(question, { signal, onUnavailable: 'deny' });
  if (decision.reason.code === 'unavailable') console.log(decision.reason.message);
  for (const outcome of await verdict.decideMany([question])) {
    if ('problem' in outcome && outcome.problem !== undefined) console.log(outcome.problem.detail);
    const allowed: boolean = outcome.allowed === true;
    console.log(allowed);
  }
  // @ts-expect-error closed: a slip of the pen does not compile
  await verdict.can({ ...question, policyset: 'default' });
  // @ts-expect-error what is not there is not allowed
  await verdict.can({ subject: 'ann', action: 'read' });
  // @ts-expect-error never an allow
  await verdict.can(question, { onUnavailable: 'allow' });
  const { complete, permissions } = await verdict.whoCan('default', { action: 'read' });
  return complete && permissions.map(({ subject }) => subject.id);
}
export const code = (error: VerdictProblem) => error.code;
`;
  project.write('types.mts', source);
  project.write('types.cts', source);
  project.link('@types/node');
  project.link('undici-types');
  project.compile(['types.mts', 'types.cts'], { types: ['node'], lib: ['es2022'] });
  project.compile(['types.mts', 'types.cts'], { lib: ['es2022', 'dom'] });
  // As projects are set up that do not read `exports` yet.
  const old = { module: 'commonjs', moduleResolution: 'node10', ignoreDeprecations: '6.0', lib: ['es2022', 'dom'] };
  project.write(
    'old.ts',
    "import { VerdictClient } from '@verdict/client';\nexport const client = new VerdictClient({ baseUrl: '' });\n",
  );
  project.compile(['old.ts', 'types.cts'], old);
});

describe('bundled', () => {
  it('by esbuild, it is at most 12 KB', () => {
    const entry = project.write('entry.js', "export * from '@verdict/client';");
    const code = project.run('esbuild', [
      entry,
      '--bundle',
      '--minify',
      '--format=esm',
      '--platform=browser',
      '--log-level=error',
    ]);
    expect(gzipSync(code).length).toBeLessThanOrEqual(mostBytes);
    expect(code).not.toMatch(/\b(import|require)\b\s*[("']/);
  });

  it('by Vite, it is at most 12 KB, in a page', async () => {
    project.write('page/index.html', '<!doctype html><script type="module" src="./main.js"></script>');
    project.write('page/main.js', "import * as client from '@verdict/client';\nglobalThis.client = client;");
    const folder = join(project.folder, 'page');
    await build({ root: folder, configFile: false, logLevel: 'error', build: { modulePreload: false } });
    const [asset] = project
      .run('ls', [join(folder, 'dist/assets')])
      .trim()
      .split('\n');
    const code = readFileSync(join(folder, 'dist/assets', asset!), 'utf8');
    expect(code).toContain('onUnavailable');
    expect(gzipSync(code).length).toBeLessThanOrEqual(mostBytes);
  });
});

describe('on an edge runtime', () => {
  let code: string;
  beforeAll(() => {
    const entry = project.write('edge.js', "export * from '@verdict/client';");
    code = project.run('esbuild', [
      entry,
      '--bundle',
      '--minify',
      '--format=iife',
      '--global-name=client',
      '--log-level=error',
    ]);
  });

  it('it runs on the web interfaces of the Edge Runtime, without those of Node and without eval', async () => {
    /** Types of a package that is there only for this. */
    const { EdgeVM } = createRequire(import.meta.url)('@edge-runtime/vm') as {
      EdgeVM: new (options: object) => { evaluate(code: string): unknown };
    };
    const edge = new EdgeVM({ codeGeneration: { strings: false, wasm: false } });
    edge.evaluate(code);
    expect(edge.evaluate('typeof process + typeof require + typeof setImmediate + typeof Buffer')).toBe(
      'undefined'.repeat(4),
    );
    expect(() => edge.evaluate("eval('1')")).toThrow();
    expect(JSON.parse((await edge.evaluate(use('client'))) as string)).toEqual(outcome);
  });

  it('it runs where there is nothing but the language and the interfaces that it says it needs', async () => {
    // docs/clients.md names them.
    const page = readFileSync(join(root, 'docs/clients.md'), 'utf8');
    const [, sentence] = /needs of its platform: (.*?)\./s.exec(page)!;
    const names = [...sentence!.matchAll(/`(\w+)`/g)].map(([, name]) => name!);
    expect(names.length).toBeGreaterThan(3);
    const context = createContext(Object.fromEntries(names.map((name) => [name, Reflect.get(globalThis, name)])), {
      codeGeneration: { strings: false, wasm: false },
    });
    runInContext(code, context);
    expect(JSON.parse(await runInContext(use('client'), context))).toEqual(outcome);
  });
});
