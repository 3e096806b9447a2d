/**
 * A container of a pod without a cluster: the service in a file system of its own, whose root cannot be written, as the user
 * of the pod, with the variables that were rendered and volumes at the paths where they are mounted. What a container engine
 * does is done by `unshare`, `mount` and `chroot`; wants root.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { environmentOf, readDockerfile } from '../dockerfile.js';
import type { KubernetesObject } from './chart.js';

const repository = fileURLToPath(new URL('../../..', import.meta.url));
const image = readDockerfile(readFileSync(join(repository, 'Dockerfile'), 'utf8')).at(-1)!;

const canUnshare =
  process.getuid?.() === 0 && spawnSync('unshare', ['--mount', '--propagation', 'private', 'true']).status === 0;
export const canRunPods = canUnshare || process.env.VERDICT_TEST_REQUIRE === 'all';
if (!canRunPods) console.warn('this is not root, or file systems cannot be mounted: no pod of the chart is run');

/** Files by their path in a volume. */
export type Files = Readonly<Record<string, string>>;

export interface PodOptions {
  readonly spec: KubernetesObject;
  /** The files of each mount, by its path; /data is made. */
  readonly mounts: Readonly<Record<string, Files>>;
  /** What another machine than a cluster's wants otherwise. */
  readonly env?: Readonly<Record<string, string>>;
}

export class Pod {
  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
    readonly url: string,
    private readonly errors: () => string,
  ) {}

  /** Resolves when the service listens. */
  static async start({ spec, mounts, env = {} }: PodOptions): Promise<Pod> {
    const folder = mkdtempSync(join(tmpdir(), 'verdict-pod-'));
    chmodSync(folder, 0o755);
    const { securityContext } = spec;
    const container = containerOf(spec);
    const root = join(folder, 'root');
    for (const place of ['usr', 'app', 'proc', 'dev', 'etc/ssl']) mkdirSync(join(root, place), { recursive: true });
    for (const place of ['bin', 'lib', 'lib64', 'sbin']) symlinkSync(`usr/${place}`, join(root, place));
    for (const place of ['dist', 'node_modules', 'templates', 'schemas']) mkdirSync(join(root, 'app', place));
    for (const file of ['node', 'app/package.json']) writeFileSync(join(root, file), '');
    const binds: [string, string, 'ro' | 'rw'][] = [
      ['/usr', 'usr', 'ro'],
      [process.execPath, 'node', 'ro'],
      ['/etc/ssl', 'etc/ssl', 'ro'],
      ...['dist', 'node_modules', 'templates', 'schemas', 'package.json'].map(
        (name) => [join(repository, name), `app/${name}`, 'ro'] as [string, string, 'ro'],
      ),
    ];
    for (const { mountPath, readOnly } of container.volumeMounts) {
      const volume = join(folder, 'volumes', mountPath.replaceAll('/', '_'));
      mkdirSync(volume, { recursive: true });
      if (mountPath === '/data') makeDisk(volume, securityContext.fsGroup);
      else project(volume, mounts[mountPath] ?? {}, 'first', securityContext.fsGroup);
      mkdirSync(join(root, mountPath), { recursive: true });
      binds.push([volume, mountPath.slice(1), readOnly === true ? 'ro' : 'rw']);
    }
    const script = [
      `mount --bind "${root}" "${root}"`,
      ...binds.map(([from, to]) => `mount --bind "${from}" "${root}/${to}"`),
      `mount --rbind /dev "${root}/dev"`,
      `mount -t proc proc "${root}/proc" || mount --rbind /proc "${root}/proc"`,
      ...binds.filter(([, , mode]) => mode === 'ro').map(([, to]) => `mount -o remount,ro,bind "${root}/${to}"`),
      `mount -o remount,ro,bind "${root}"`,
      'exec "$@"',
    ].join('\n');
    const { runAsUser, runAsGroup, fsGroup } = securityContext;
    const user = ['chroot', `--userspec=${runAsUser}:${runAsGroup}`, `--groups=${fsGroup}`, root];
    const start = ['/usr/bin/env', '--chdir=/app', '/node', 'dist/main.js'];
    const given = Object.fromEntries(
      container.env.map(({ name, value }: { name: string; value?: string }) => [name, value ?? `${name}-of-test`]),
    );
    const child = spawn(
      'unshare',
      ['--mount', '--propagation', 'private', 'sh', '-ec', script, 'sh', ...user, ...start],
      {
        // The image's variables, and over them the pod's. On a test machine nothing listens beyond loopback.
        env: {
          ...environmentOf(image),
          PATH: '/usr/sbin:/usr/bin',
          ...given,
          VERDICT_HOST: '127.0.0.1',
          VERDICT_PORT: '0',
          ...env,
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let errors = '';
    child.stderr!.on('data', (chunk) => {
      errors += chunk;
    });
    let url = '';
    for await (const line of createInterface({ input: child.stdout! })) {
      url = /^verdict listening on (https?:\S+)$/.exec(line)?.[1] ?? '';
      if (url !== '') break;
      errors += `${line}\n`;
    }
    const pod = new Pod(child, folder, url, () => errors);
    if (url !== '') {
      child.stdout!.resume();
      return pod;
    }
    pod.remove();
    throw new Error(`the pod does not start: ${errors}`);
  }

  /** Puts other files into a volume, as the kubelet does: all of them at once. */
  change(mountPath: string, files: Files): void {
    project(join(this.folder, 'volumes', mountPath.replaceAll('/', '_')), files, `at-${Date.now()}`, 1000);
  }

  /** A command in the container, as an `exec` probe runs it. */
  exec(command: readonly string[], env: Readonly<Record<string, string>>): number | null {
    const [program, ...args] = command;
    const inside = ['/usr/bin/env', '--chdir=/app', program === 'node' ? '/node' : program!, ...args];
    return spawnSync(
      'nsenter',
      [`--target=${this.child.pid}`, '--mount', `--root=/proc/${this.child.pid}/root`, ...inside],
      {
        env: { PATH: '/usr/bin', ...env },
      },
    ).status;
  }

  /** Why nobody in the container, root included, can write a file; empty where it was written. */
  whyNotWritable(path: string): string {
    const ran = spawnSync(
      'nsenter',
      [`--target=${this.child.pid}`, '--mount', `--root=/proc/${this.child.pid}/root`, 'touch', path],
      { encoding: 'utf8' },
    );
    return ran.stderr;
  }

  file(mountPath: string, name: string): string {
    return join(this.folder, 'volumes', mountPath.replaceAll('/', '_'), name);
  }

  /** Ends it as the kubelet does, and says with which exit code and after how many milliseconds. */
  async stop(): Promise<{ code: number | null; ms: number; errors: string }> {
    const started = performance.now();
    const exited = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    const [code] = await exited;
    this.remove();
    return { code, ms: performance.now() - started, errors: this.errors() };
  }

  private remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function containerOf(spec: KubernetesObject): KubernetesObject {
  return [...(spec.initContainers ?? []), ...spec.containers].find(({ name }) => name === 'verdict')!;
}

/** A new disk, as a driver hands it over for a group: with what the file system itself keeps at its root. */
function makeDisk(folder: string, group: number): void {
  mkdirSync(join(folder, 'lost+found'), { mode: 0o700 });
  chownSync(folder, 0, group);
  chmodSync(folder, 0o2775);
}

/** Files as the kubelet lays them: in a folder of their own, to which a link leads, to which the names lead. */
function project(volume: string, files: Files, revision: string, group: number): void {
  const folder = join(volume, `..${revision}`);
  for (const [path, text] of Object.entries(files)) {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text, { mode: 0o440 });
    chownSync(file, 0, group);
  }
  mkdirSync(folder, { recursive: true });
  symlinkSync(`..${revision}`, join(volume, '..data_tmp'));
  renameSync(join(volume, '..data_tmp'), join(volume, '..data'));
  const names = new Set(Object.keys(files).map((path) => path.split('/')[0]!));
  for (const name of readdirSync(volume).filter((each) => !each.startsWith('..'))) {
    if (!names.delete(name)) rmSync(join(volume, name));
  }
  for (const name of names) symlinkSync(`..data/${name}`, join(volume, name));
  execFileSync('chmod', ['-R', 'a+X', volume]);
}
