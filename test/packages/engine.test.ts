/** `@verdict/engine` as it is packed: on Node as a module and by `require`, in TypeScript, and in a bundle for browsers. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compilePolicySet } from '../../src/engine.js';
import { ScratchProject } from './scratch-project.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const policy = (file: string) => readFileSync(join(root, 'policies/invoices', file), 'utf8');
const texts = {
  model: policy('model.conf'),
  rules: [{ file: 'rules.csv', text: policy('rules.csv') }],
  manifest: policy('policy-set.yaml'),
  entities: policy('entities.yaml'),
  schema: policy('schema.yaml'),
};
const question = { subject: 'greta', action: 'approve', resource: 'INV-1044' };
const now = Date.UTC(2026, 10, 22, 10);

/** What each way in is asked, and what the engine in `src` says to it. */
const asking = `const set = compilePolicySet(${JSON.stringify({ strict: true, ...texts })});
const { decision, reason } = set.decide(${JSON.stringify(question)}, { now: ${now} });
`;
const expected = () => {
  const set = compilePolicySet({ strict: true, ...texts });
  const { decision, reason } = set.decide(question, { now });
  return [set.version, decision, reason];
};

const project = new ScratchProject();
let files: readonly string[];
beforeAll(() => {
  files = project.install('engine');
});
afterAll(() => project.remove());

it('has nothing in it but what is built', () => {
  expect(
    files.filter((path) => !/^(dist\/(esm|cjs)\/.*\.(js|d\.ts)|dist\/cjs\/package\.json|package\.json)$/.test(path)),
  ).toEqual([]);
  expect(files.filter((path) => path.endsWith('.js')).sort()).toEqual(
    ['cjs', 'esm'].flatMap((format) =>
      ['digest/portable-sha-256.js', 'digest/sha-256.js', 'engine.js'].map((file) => `dist/${format}/${file}`),
    ),
  );
});

it('has the version of the service, and brings what the core imports in the versions of the service', () => {
  const read = (file: string) => JSON.parse(readFileSync(join(root, file), 'utf8'));
  const [service, engine] = [read('package.json'), read('packages/engine/package.json')];
  expect(engine.version).toBe(service.version);
  expect(engine.private).toBe(true);
  const { re2js, yaml } = service.dependencies;
  expect(engine.dependencies).toEqual({ re2js, yaml });
});

it('decides where it is imported, under the same version', () => {
  const script = `import { compilePolicySet } from '@verdict/engine';
${asking}console.log(JSON.stringify([set.version, decision, reason]));`;
  expect(JSON.parse(project.run(process.execPath, [project.write('a.mjs', script)]))).toEqual(expected());
  expect(expected()).toMatchObject([/^sha256:/, 'allow', { code: 'rule_allowed', file: 'rules.csv' }]);
});

it('decides where it is required', () => {
  const script = `const { compilePolicySet, PolicyError } = require('@verdict/engine');
${asking}
let refused;
try { compilePolicySet({ model: '', rules: '' }); } catch (error) { refused = error instanceof PolicyError; }
console.log(JSON.stringify([refused, set.version, decision, reason]));`;
  expect(JSON.parse(project.run(process.execPath, [project.write('a.cjs', script)]))).toEqual([true, ...expected()]);
});

it('has types for both kinds of modules', () => {
  const use = `import { compilePolicySet, type EngineDecision, PolicyError } from '@verdict/engine';
const set = compilePolicySet({ model: '', rules: [{ file: 'a.csv', text: '' }] });
const answer: EngineDecision = set.decide({ subject: 'a', action: 'b', resource: { type: 't', id: '1' } }, { now: 0 });
// @ts-expect-error there is no such effect
answer.decision === 'permit';
// @ts-expect-error the clock is not left out
set.decide({ subject: 'a', action: 'b', resource: 'c' });
export const problems = (error: PolicyError) => error.problems.map(({ code }) => code);
`;
  project.write('esm.mts', use);
  project.write('cjs.cts', use);
  project.compile(['esm.mts', 'cjs.cts']);
});

it.each(['esm', 'cjs'])('decides in a browser, bundled by esbuild from its %s files', (format) => {
  const load = format === 'esm' ? "export * from '@verdict/engine';" : "module.exports = require('@verdict/engine');";
  const entry = project.write(`browser-${format}.js`, load);
  const options = ['--bundle', '--platform=browser', '--format=iife', '--global-name=engine', '--log-level=error'];
  const code = project.run('esbuild', [entry, ...options]);
  // The language's own globals, and the one that the browser's digest takes from the web.
  const context = createContext({ TextEncoder });
  runInContext(`${code}\nconst { compilePolicySet } = engine;\n${asking}`, context);
  const answer = runInContext('JSON.stringify([set.version, decision, reason])', context);
  expect(JSON.parse(answer)).toEqual(expected());
});
