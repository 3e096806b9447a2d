/** A project that has a package of ours as npm would install it: what is not in it, or not among its dependencies, is not there. */
import { type ExecFileSyncOptions, execFileSync, type StdioOptions } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

export class ScratchProject {
  readonly folder = mkdtempSync(join(tmpdir(), 'verdict-project-'));

  constructor() {
    this.write('package.json', '{ "name": "project", "private": true }');
  }

  /**
   * Packs a workspace and puts it into `node_modules`, its dependencies beside it. No registry is asked: they are those of this
   * checkout.
   *
   * @returns the paths that are in the package
   */
  install(workspace: string): readonly string[] {
    const pack = ['pack', '--json', '--pack-destination', this.folder, '--workspace', `packages/${workspace}`];
    const [{ name, filename, files }] = JSON.parse(this.run('npm', pack, { cwd: root }));
    const place = join(this.folder, 'node_modules', name);
    mkdirSync(place, { recursive: true });
    this.run('tar', ['xzf', filename, '--strip-components=1', '-C', place]);
    const { dependencies = {} } = JSON.parse(readFileSync(join(place, 'package.json'), 'utf8'));
    for (const dependency of Object.keys(dependencies)) this.link(dependency);
    return files.map(({ path }: { path: string }) => path);
  }

  /** Another package, as this checkout has it. */
  link(name: string): void {
    const place = join(this.folder, 'node_modules', name);
    mkdirSync(dirname(place), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), place);
  }

  write(file: string, text: string): string {
    const path = join(this.folder, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  /** Runs a program of the machine or, by its name in `node_modules/.bin`, of this checkout; returns what it prints. */
  run(program: string, args: readonly string[], options: ExecFileSyncOptions = {}): string {
    const env = {
      PATH: `${join(root, 'node_modules/.bin')}:${process.env.PATH}`,
      HOME: this.folder,
      npm_config_offline: 'true',
      npm_config_update_notifier: 'false',
    };
    const stdio: StdioOptions = ['ignore', 'pipe', 'pipe'];
    try {
      return String(execFileSync(program, args, { cwd: this.folder, env, stdio, maxBuffer: 2 ** 26, ...options }));
    } catch (error) {
      // A compiler prints what it does not like, and its error says only that it failed.
      const { stdout, stderr } = error as { stdout?: unknown; stderr?: unknown };
      throw new Error(`${program} ${args.join(' ')} failed\n${stdout ?? ''}\n${stderr ?? ''}`, { cause: error });
    }
  }

  /** Compiles files of TypeScript as strictly as it goes, without writing anything. */
  compile(files: readonly string[], compilerOptions: object = {}): void {
    const options = { strict: true, noEmit: true, target: 'es2023', module: 'nodenext', types: [], ...compilerOptions };
    this.write('tsconfig.json', JSON.stringify({ compilerOptions: options, files }));
    this.run('tsc', ['-p', this.folder]);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
