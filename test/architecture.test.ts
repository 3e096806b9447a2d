/** The tree tells the story: imports point down only, and each third-party package of the core is imported in one place. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const src = fileURLToPath(new URL('../src', import.meta.url));

/** From the bottom up; a folder may import from itself and from those in rows before its own. */
const layers = [
  ['core'],
  ['digest', 'encryption', 'files', 'turns'],
  ['errors.ts'],
  ['answers'],
  ['config', 'logging', 'workers'],
  ['telemetry'],
  ['database'],
  ['query'],
  ['audit', 'decision-log'],
  ['log-sinks'],
  ['stock-casbin'],
  ['policy-store'],
  ['auth'],
  ['fleet'],
  ['pdp'],
  ['http'],
  ['api', 'authzen', 'gateway', 'metrics', 'health'],
  ['cli'],
  // Files that stand in src itself: the composition root.
  [''],
];

/** The steps of the core, from the bottom up. What lies in `core` itself is below them all, but for the whole set. */
const ladder = [
  'core/',
  'core/matcher/',
  'core/casbin/',
  'core/manifest/',
  'core/rules/',
  'core/roles/',
  'core/data/',
  'core/policy/',
  'core/engine/',
  'core/search/',
  'core/policy-set.',
  'core/analysis/',
];

interface Import {
  readonly from: string;
  readonly to: string;
  readonly isType: boolean;
  readonly isDynamic: boolean;
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const imports = files.flatMap(importsOf);

function importsOf(from: string): Import[] {
  const text = readFileSync(join(src, from), 'utf8');
  const statements = text.matchAll(/^(?:import|export)\s+(type\s)?(?:[^'";]*?from\s+)?'([^']+)'|import\('([^']+)'\)/gm);
  return [...statements].map(([, type, named, dynamic]) => {
    const specifier = (named ?? dynamic)!;
    const to = specifier.startsWith('.') ? relative(src, join(src, dirname(from), specifier)) : specifier;
    return { from, to, isType: type !== undefined, isDynamic: named === undefined };
  });
}

/** The table of errors stands in src itself, since everything but the core uses it. */
const folderOf = (file: string) => {
  if (/^errors\.[jt]s$/.test(file)) return 'errors.ts';
  return file.includes('/') ? file.slice(0, file.indexOf('/')) : '';
};
const stepOf = (file: string) => ladder.findLastIndex((step) => file.startsWith(step));
const isLocal = ({ to }: Import) => to.endsWith('.js');
const layerOf = (file: string) => layers.findIndex((layer) => layer.includes(folderOf(file)));
const show = ({ from, to }: Import) => `${from} imports ${to}`;

/** The folder of a database that a file lies in: `audit/sqlite/`, `policy-store/archive/sqlite/`; undefined for a file outside of them. */
const homeOf = (file: string) => /^([a-z-]+\/)+(sqlite|postgres)\//.exec(file)?.[0];

/** Who chooses the implementations of the stores, and who is told about their files. */
const wiring = [
  // The command line works on a database without the service.
  'cli/sources/database.ts',
  // Whether the files can be written is said before the service starts.
  'start-checks.ts',
];
const isWiring = (file: string) => wiring.includes(file) || file.endsWith('.module.ts');

describe('the architecture', () => {
  it('reads its own source', () => {
    expect(imports.length).toBeGreaterThan(100);
    expect(imports.filter(isLocal).length).toBeGreaterThan(50);
  });

  it('has a place for every folder', () => {
    expect(
      [...new Set(files.map(folderOf))].filter((folder) => !layers.some((layer) => layer.includes(folder))),
    ).toEqual([]);
  });

  it('imports downwards only', () => {
    const upwards = imports.filter(
      (edge) =>
        isLocal(edge) &&
        folderOf(edge.from) !== folderOf(edge.to) &&
        layerOf(edge.to) >= layerOf(edge.from) &&
        // engine.ts stands beside the composition root but is the core's door, so nothing of the core may use it.
        !(edge.from === 'engine.ts'),
    );
    expect(upwards.map(show)).toEqual([]);
  });

  it('lets the library reach the core and the digest that it hands in, and nothing else', () => {
    const beyond = imports.filter(({ from, to }) => from === 'engine.ts' && !['core', 'digest'].includes(folderOf(to)));
    expect(beyond.map(show)).toEqual([]);
  });

  it('lets commands print and read, and never the other way', () => {
    const rooms = ['cli/print/', 'cli/sources/'];
    const edges = imports.filter(({ from }) => rooms.some((room) => from.startsWith(room)));
    expect(edges.length).toBeGreaterThan(20);
    expect(edges.filter(({ to }) => to.startsWith('cli/commands/') || to === 'cli/program.js').map(show)).toEqual([]);
    const across = edges.filter(({ from, to }) => from.startsWith('cli/sources/') && to.startsWith('cli/print/'));
    expect(across.map(show)).toEqual([]);
  });

  it('keeps the core pure: no framework, database, file, network, thread or clock', () => {
    const allowed = ['re2js', 'yaml'];
    const packages = imports.filter((edge) => folderOf(edge.from) === 'core' && !isLocal(edge));
    expect(packages.filter(({ to }) => !allowed.includes(to)).map(show)).toEqual([]);
    const impure =
      /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bprocess\.|\bperformance\.|\bset(Timeout|Interval|Immediate)\(/;
    const offenders = files.filter(
      (file) => folderOf(file) === 'core' && impure.test(withoutComments(readFileSync(join(src, file), 'utf8'))),
    );
    // Only enforce(), Casbin's own form of the question, takes the clock itself when it is given none.
    expect(offenders).toEqual(['core/engine/enforce.ts']);
  });

  it('compiles the core against the language alone: no global of Node, none of browsers', () => {
    const root = dirname(src);
    execFileSync(join(root, 'node_modules/.bin/tsc'), ['--noEmit', '-p', join(root, 'tsconfig.core.json')]);
  });

  it.each([
    ['casbin', 'stock-casbin/'],
    ['re2js', 'core/'],
    ['yaml', 'core/'],
    ['sqlite3', 'database/sqlite/'],
    ['pg', 'database/postgres/'],
    ['ajv', 'http/'],
    ['kafkajs', 'log-sinks/kafka/'],
  ])('imports %s in one file, under %s', (name, folder) => {
    const importers = [
      ...new Set(imports.filter(({ to }) => to === name || to.startsWith(`${name}/`)).map(({ from }) => from)),
    ];
    expect(importers.length, importers.join(', ')).toBeLessThanOrEqual(1);
    for (const importer of importers) expect(importer.startsWith(folder), importer).toBe(true);
  });

  it('loads OpenTelemetry only where its variables ask for it', () => {
    const users = imports.filter(({ to }) => to.startsWith('@opentelemetry/')).map(({ from }) => from);
    expect(users.length).toBeGreaterThan(3);
    expect(users.filter((file) => !file.startsWith('telemetry/'))).toEqual([]);
    const eager = imports.filter(({ from, to, isType, isDynamic }) => {
      const file = to.replace(/\.js$/, '.ts');
      return users.includes(file) && !isType && !isDynamic && !users.includes(from);
    });
    expect(eager.map(show)).toEqual([]);
  });

  it('keeps SQL, its dialects and its drivers in the sqlite and postgres folders of the database and the stores', () => {
    const drivers = imports.filter(
      ({ from, to }) => /^(typeorm|sqlite3|pg)(\/|$)/.test(to) && homeOf(from) === undefined,
    );
    expect(drivers.map(show)).toEqual([]);
    const sql =
      /\bSELECT\b[^'"`]*\bFROM\b|\bINSERT (OR \w+ )?INTO\b|\bDELETE FROM\b|\bUPDATE \S+ SET\b|\bSET LOCAL\b|\b(CREATE|ALTER|DROP) (UNIQUE )?(TABLE|INDEX|TRIGGER|SCHEMA)\b|\b(PRAGMA|VACUUM|COLLATE)\b/;
    const speaking = files.filter((file) => sql.test(withoutComments(readFileSync(join(src, file), 'utf8'))));
    expect(speaking.length).toBeGreaterThan(10);
    expect(speaking.filter((file) => homeOf(file) === undefined)).toEqual([]);
  });

  it('reaches a store through its interface: what is in a folder of a database only the wiring knows', () => {
    const reaching = imports.filter((edge) => {
      const to = isLocal(edge) ? homeOf(edge.to) : undefined;
      if (to === undefined || isWiring(edge.from)) return false;
      const from = homeOf(edge.from);
      return !(
        from !== undefined &&
        (to === from || to === from.replace(/^([a-z-]+\/)+(?=(sqlite|postgres)\/)/, 'database/'))
      );
    });
    expect(reaching.map(show)).toEqual([]);
  });

  it('divides long work into turns in one way', () => {
    // A group of records that is committed soon and a comparison that waits for its answer are no turns.
    const others = ['decision-log/sqlite/group-commit.ts', 'stock-casbin/cross-check.ts'];
    const yielding = files.filter((file) =>
      /\bsetImmediate\b/.test(withoutComments(readFileSync(join(src, file), 'utf8'))),
    );
    expect(yielding.filter((file) => !others.includes(file))).toEqual(['turns/turns.ts']);
  });

  it('climbs the ladder of the core: each step stands on those before it', () => {
    const upwards = imports.filter((edge) => {
      if (!isLocal(edge) || !edge.from.startsWith('core/') || !edge.to.startsWith('core/')) return false;
      return stepOf(edge.to) > stepOf(edge.from);
    });
    expect(upwards.map(show)).toEqual([]);
  });

  it('has no circle of imports between files, those of types included', () => {
    const edges = new Map<string, string[]>();
    for (const edge of imports.filter(isLocal)) {
      const to = edge.to.replace(/\.js$/, '.ts');
      edges.set(edge.from, [...(edges.get(edge.from) ?? []), to]);
    }
    expect(findCircle(edges)).toBeUndefined();
  });

  it('defines no exported name twice', () => {
    const homes = new Map<string, Set<string>>();
    for (const file of files) {
      const text = readFileSync(join(src, file), 'utf8');
      const definitions = text.matchAll(
        /^export (?:default )?(?:abstract )?(?:async )?(?:class|const|enum|function\*?|interface|let|type) (\w+)/gm,
      );
      for (const [, name] of definitions) homes.set(name!, (homes.get(name!) ?? new Set()).add(file));
    }
    expect(homes.size).toBeGreaterThan(500);
    // A bundle for browsers puts one of these two in the place of the other.
    homes.delete('sha256');
    const twice = [...homes].filter(([, defining]) => defining.size > 1);
    expect(twice.map(([name, defining]) => `${name}: ${[...defining].sort().join(', ')}`)).toEqual([]);
  });

  it('speaks plainly in comments: none of the words that were retired', () => {
    const retired =
      /\b([Ww]hoever|so many|stands? in for|he|his|him|of which there (?:is|are)|(?<![Tt]here )(?:is|are) no (?!longer\b|more\b))\b/;
    const comments = files.flatMap((file) => {
      const found = readFileSync(join(src, file), 'utf8').matchAll(/\/\*\*[\s\S]*?\*\/|^\s*\/\/.*$/gm);
      return [...found].map(([comment]) => ({ file, comment }));
    });
    expect(comments.length).toBeGreaterThan(1_000);
    const faults = comments.filter(({ comment }) => retired.test(comment));
    expect(faults.map(({ file, comment }) => `${file}: ${retired.exec(comment)?.[0]}`)).toEqual([]);
  });

  it('has no file that only re-exports', () => {
    const onlyExports = files.filter((file) => {
      const code = withoutComments(readFileSync(join(src, file), 'utf8'));
      return (
        file !== 'engine.ts' && code.trim() !== '' && code.replace(/^export [^;]*? from '[^']+';/gm, '').trim() === ''
      );
    });
    expect(onlyExports).toEqual([]);
  });
});

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '');
}

/** The files of a circle, the first again at its end. */
function findCircle(edges: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    path.push(file);
    for (const next of edges.get(file) ?? []) {
      const circle = visit(next);
      if (circle !== undefined) return circle;
    }
    path.pop();
    done.add(file);
    return undefined;
  };
  for (const file of edges.keys()) {
    const circle = visit(file);
    if (circle !== undefined) return circle;
  }
  return undefined;
}
