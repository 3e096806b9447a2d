/**
 * Puts the packages that the service imports into a few files, `dist/dependencies/*.js`, and points `dist` at them.
 *
 * A start reads some 3,000 small files of `node_modules` otherwise, and finding and reading them takes most of its time.
 * The service's own files stay as the compiler wrote them, line for line, so stack traces name them; the bundled packages
 * are not minified. What a package exports is asked of Node itself, so `dist` imports what it would without this step.
 *
 * A bundler for browsers must not take what was chosen for Node: `browser` in package.json gives it the packages that the
 * engine needs by their own names again.
 *
 * Packages in `kept` stay in `node_modules`, and so do all others that only some calls load, which find them there.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import ts from 'typescript';

/** They find files beside themselves: native code, the worker of stock Casbin, what a browser is sent. */
const kept = new Set(['casbin', 'sqlite3', 'swagger-ui-dist']);

/** What Node names among the exports of a CommonJS package and a module does not have. */
const notExports = new Set(['module.exports', '__esModule']);

/** Optional packages that are not installed are asked for when they are used, as without this step. */
const expected = new Set(['UNRESOLVED_IMPORT']);

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const folder = join(dist, 'dependencies');
const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

rmSync(folder, { recursive: true, force: true });
const files = readdirSync(dist, { recursive: true })
  .filter((file) => file.endsWith('.js'))
  .map((file) => join(dist, file));
const imports = new Map(files.map((file) => [file, packagesIn(readFileSync(file, 'utf8'))]));
const packages = [...new Set([...imports.values()].flat().map(({ fileName }) => fileName))].sort();
await bundle(packages);
for (const [file, found] of imports) redirect(file, found);

/** Where a file names a package that is bundled, in the order of the text. */
function packagesIn(text) {
  return ts.preProcessFile(text, true, true).importedFiles.filter(({ fileName }) => isBundled(fileName));
}

function isBundled(specifier) {
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  return Object.hasOwn(dependencies, name) && !kept.has(name);
}

/** One file for each of the packages; what several need lies in files of its own. */
async function bundle(names) {
  const entries = new Map();
  for (const name of names) entries.set(`entry:${name}`, await reExport(name));
  const build = await rolldown({
    cwd: root,
    platform: 'node',
    input: Object.fromEntries(names.map((name) => [fileOf(name), `entry:${name}`])),
    external: (id, importer) => kept.has(id) || (id === 'pg' && isOfTypeorm(importer)),
    plugins: [
      {
        name: 'entries',
        resolveId(id, importer) {
          if (entries.has(id)) return id;
          return importer !== undefined && entries.has(importer)
            ? this.resolve(id, join(root, 'package.json'), { skipSelf: true })
            : undefined;
        },
        load: (id) => entries.get(id),
      },
    ],
    onLog: (_level, log) => {
      if (!expected.has(log.code)) throw new Error(log.message);
    },
  });
  await build.write({
    dir: folder,
    format: 'esm',
    strictExecutionOrder: true,
    intro: 'const __dirname = import.meta.dirname, __filename = import.meta.filename;',
    entryFileNames: '[name].js',
    chunkFileNames: 'shared-[name].js',
    comments: { legal: true, annotation: false, jsdoc: false },
  });
  await build.close();
}

/** TypeORM would have PostgreSQL's driver read with it, at each start; the service loads the driver itself, when it needs it. */
function isOfTypeorm(importer = '') {
  return importer.includes('/node_modules/typeorm/');
}

/** The package's exports by their names: those of a CommonJS package are known to Node and not to a bundler. */
async function reExport(name) {
  const names = Object.keys(await import(name)).filter((each) => !notExports.has(each));
  return `export { ${names.join(', ')} } from '${name}';`;
}

function fileOf(name) {
  return name.replace('@', '').replaceAll('/', '-');
}

/** Lines stay where they are; only the columns of the import lines change. */
function redirect(file, found) {
  let text = readFileSync(file, 'utf8');
  for (const { fileName, pos, end } of [...found].reverse()) {
    const path = relative(dirname(file), join(folder, `${fileOf(fileName)}.js`)).replaceAll('\\', '/');
    // `pos` is that of the quotation mark.
    text = `${text.slice(0, pos + 1)}${path.startsWith('.') ? path : `./${path}`}${text.slice(end + 1)}`;
  }
  if (found.length > 0) writeFileSync(file, text);
}
