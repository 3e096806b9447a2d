/**
 * Builds what stands under `packages/`, each as an ES module and for `require`, with types for both.
 *
 * `npm run build:service` comes before: the engine's types are those that the compiler wrote into `dist`. The package is
 * made from the same source as `dist/engine.js`, in one file, since 190 small ones take longer to read than to run. Packages
 * that it needs stay outside; so does the digest, which `imports` in its package.json chooses for Node or for anywhere else.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import ts from 'typescript';

const root = fileURLToPath(new URL('..', import.meta.url));
const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
const formats = ['esm', 'cjs'];

await buildEngine();
await buildClient();
await buildNestjs();

async function buildEngine() {
  const folder = cleared('engine');
  await write(folder, {
    input: { engine: join(root, 'src/engine.ts') },
    external: ['re2js', 'yaml', '#sha-256'],
    plugins: [
      {
        name: 'digest',
        resolveId: (id) => (id === './digest/sha-256.js' ? { id: '#sha-256', external: true } : undefined),
      },
    ],
  });
  // The files for `require` are a scope of their own to Node: what the package says of its imports is said again there.
  const digests = { node: './digest/sha-256.js', default: './digest/portable-sha-256.js' };
  writeScope(folder, { type: 'commonjs', imports: { '#sha-256': digests } });
  for (const name of ['sha-256', 'portable-sha-256']) {
    await write(folder, { input: { [`digest/${name}`]: join(root, `src/digest/${name}.ts`) }, external: [/^node:/] });
  }
  const types = declarationsFrom(join(root, 'dist/engine.d.ts'));
  for (const format of formats) {
    for (const file of types) cpSync(file, join(folder, format, relative(join(root, 'dist'), file)));
  }
}

/** Its sources are few and small: a file stays a file. */
async function buildClient() {
  const output = { preserveModules: true, preserveModulesRoot: join(root, 'packages/client/src') };
  await buildFromSource('client', ['client', 'mock', 'local/local-verdict'], {
    external: [/^node:/, '@verdict/engine'],
    output,
  });
}

/** After the client, whose types it names. */
async function buildNestjs() {
  await buildFromSource('nestjs', ['nestjs'], { external: [/^@nestjs\//, /^@verdict\//, 'reflect-metadata'] });
}

async function buildFromSource(name, entries, options) {
  const folder = cleared(name);
  writeScope(folder, { type: 'commonjs' });
  const source = join(root, 'packages', name, 'src');
  const input = Object.fromEntries(entries.map((entry) => [entry, join(source, `${entry}.ts`)]));
  await write(folder, { input, ...options });
  for (const format of formats) {
    const flags = ['--declaration', '--emitDeclarationOnly', '--noEmit', 'false', '--outDir', join(folder, format)];
    execFileSync(process.execPath, [compiler, '-p', join(root, 'packages', name), ...flags], { stdio: 'inherit' });
  }
}

function cleared(name) {
  const folder = join(root, 'packages', name, 'dist');
  rmSync(folder, { recursive: true, force: true });
  for (const format of formats) mkdirSync(join(folder, format), { recursive: true });
  return folder;
}

/** Tells Node and the compiler that files for `require` are in a package of modules. */
function writeScope(folder, scope) {
  writeFileSync(join(folder, 'cjs/package.json'), `${JSON.stringify(scope, null, 2)}\n`);
}

async function write(folder, { output = {}, ...options }) {
  const build = await rolldown({
    cwd: root,
    // What is Node's own is imported only where a file says so.
    platform: 'neutral',
    resolve: { extensionAlias: { '.js': ['.ts', '.js'] } },
    onLog: (_level, log) => {
      throw new Error(log.message);
    },
    ...options,
  });
  for (const format of formats) await build.write({ dir: join(folder, format), format, exports: 'named', ...output });
  await build.close();
}

/** A file of declarations and all those that it names. */
function declarationsFrom(file, found = new Set()) {
  if (found.has(file)) return found;
  found.add(file);
  for (const { fileName } of ts.preProcessFile(readFileSync(file, 'utf8'), true, true).importedFiles) {
    if (fileName.startsWith('.')) declarationsFrom(join(dirname(file), fileName.replace(/\.js$/, '.d.ts')), found);
  }
  return found;
}
