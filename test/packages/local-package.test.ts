/** `@verdict/client/local` as it is packed: imported, required, with types, and where nothing of Node is. */
import { createRequire } from 'node:module';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type BuiltService, startBuiltService } from '../authzen/built-service.js';
import { localScopes, localSets } from './local-sets.js';
import { ScratchProject } from './scratch-project.js';

const project = new ScratchProject();
let service: BuiltService;
beforeAll(async () => {
  for (const workspace of ['engine', 'client']) project.install(workspace);
  service = await startBuiltService(localSets, {}, localScopes);
});
afterAll(async () => {
  project.remove();
  await service.stop();
});

/** Decides in every way for which it needs the platform, with signatures, and says what comes of it as JSON. */
const use = (client: string) => `(async () => {
  const { LocalVerdict, VerdictUnavailable } = ${client};
  const options = { baseUrl: '${service.url}', apiKey: '${service.token}', policySets: ['invoices'], onWarning: () => {} };
  const keys = await (await fetch('${service.url}/v1/decisions/keys')).json();
  const verdict = await LocalVerdict.open({ ...options, keys });
  const question = { subject: 'greta', action: 'approve', resource: 'INV-1044' };
  const answers = [verdict.can(question), verdict.can({ ...question, subject: 'somebody' })];
  await verdict.close();
  const silent = { ...options, baseUrl: 'http://127.0.0.1:1', timeoutMs: 200 };
  const error = await LocalVerdict.open(silent).catch((thrown) => thrown);
  return JSON.stringify([...answers, error instanceof VerdictUnavailable, error.kind]);
})()`;
const outcome = [true, false, true, 'network'];

it('decides where it is imported, and where it is required', () => {
  const imported = `import * as local from '@verdict/client/local';\nconsole.log(await ${use('local')});`;
  const required = `const local = require('@verdict/client/local');\n${use('local')}.then(console.log);`;
  expect(JSON.parse(project.run(process.execPath, [project.write('a.mjs', imported)]))).toEqual(outcome);
  expect(JSON.parse(project.run(process.execPath, [project.write('a.cjs', required)]))).toEqual(outcome);
});

it('has types for both kinds of modules', () => {
  const source = `import { LocalVerdict, type LocalWarning, VerdictUnavailable } from '@verdict/client/local';
export async function use(): Promise<boolean> {
  const onWarning = ({ kind, message }: LocalWarning) => console.warn(kind, message);
  const verdict = await LocalVerdict.open({ baseUrl: '', policySets: ['invoices'], journal: { whenFull: 'refuse' }, onWarning });
  const { allowed } = verdict.decide({ subject: 'ann', action: 'read', resource: 'doc' }, { onUnavailable: 'deny' });
  // @ts-expect-error closed: a slip of the pen does not compile
  verdict.can({ subject: 'ann', action: 'read', resource: 'doc', policyset: 'invoices' });
  await verdict.close();
  return allowed;
}
export const isOld = (error: unknown) => error instanceof VerdictUnavailable && error.kind === 'too_old';
`;
  project.write('types.mts', source);
  project.write('types.cts', source);
  project.link('@types/node');
  project.link('undici-types');
  project.compile(['types.mts', 'types.cts'], { types: ['node'], lib: ['es2023'] });
  project.compile(['types.mts', 'types.cts'], { lib: ['es2023', 'dom'] });
});

it('is bundled for browsers without anything of Node, and decides on an edge runtime', async () => {
  const entry = project.write('edge.js', "export * from '@verdict/client/local';");
  const options = ['--bundle', '--minify', '--format=iife', '--global-name=local', '--platform=browser'];
  const code = project.run('esbuild', [entry, ...options, '--log-level=error']);
  /** Types of a package that is there only for this. */
  const { EdgeVM } = createRequire(import.meta.url)('@edge-runtime/vm') as {
    EdgeVM: new (options: object) => { evaluate(code: string): unknown };
  };
  const edge = new EdgeVM({ codeGeneration: { strings: false, wasm: false } });
  edge.evaluate(code);
  expect(edge.evaluate('typeof process + typeof require + typeof Buffer')).toBe('undefined'.repeat(3));
  expect(JSON.parse((await edge.evaluate(use('local'))) as string)).toEqual(outcome);
  const journal = `local.LocalVerdict.open({ baseUrl: '${service.url}', policySets: ['a'], journal: { directory: 'x' } })`;
  expect(await edge.evaluate(`${journal}.catch((error) => error.message)`)).toContain('Node.js');
});
