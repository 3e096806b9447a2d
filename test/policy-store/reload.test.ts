import { execFileSync } from 'node:child_process';
import { appendFile, chmod, mkdir, open, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { PolicyStore } from '../../src/policy-store/policy-store.js';
import { idModel } from '../models.js';
import { temporaryDirectory, withoutPrivileges, writeTree } from './folders.js';
import { brief, startedStore, type TestStore, until } from './store.js';

const rule = (subject: string) => `p, ${subject}, data1, read\n`;
const acl = (subject: string) => ({ 'acl/model.conf': idModel, 'acl/rules.csv': rule(subject) });

/** Whom the set "acl" lets read, of those who occur in these tests; `-` when it cannot be asked. */
function readers(store: PolicyStore): string {
  try {
    const set = store.resolve('acl');
    return ['alice', 'bob', 'carol']
      .filter((id) => {
        const request = { subject: { id }, action: { name: 'read' }, resource: { id: 'data1' } };
        return set.compiled.decide(request, { now: 0 }).decision === 'allow';
      })
      .join(' ');
  } catch {
    return '-';
  }
}

const seen = (store: PolicyStore) => `${readers(store)}: ${store.statuses().map(brief).join('; ')}`;

interface WriteStyle {
  readonly style: string;
  /** Everything it may show, in this order; the last one is what it must come to. */
  readonly shows: readonly (string | RegExp)[];
  /** Before the store starts; by default a set that lets alice read. */
  prepare?(root: string): Promise<void>;
  change(root: string, test: TestStore): Promise<void>;
}

const git = (at: string, ...args: string[]) =>
  execFileSync(
    'git',
    ['-C', at, '-c', 'safe.directory=*', '-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args],
    { stdio: 'ignore', env: { ...process.env, HOME: at } },
  );

const alice = 'alice: acl active';
const bob = 'bob: acl active';

const styles: readonly WriteStyle[] = [
  {
    style: 'in place, in one write',
    shows: [alice, bob],
    change: (root) => writeFile(join(root, 'acl/rules.csv'), rule('bob')),
  },
  {
    style: 'in place, in two writes, the first of which is half a line',
    shows: [alice, bob],
    async change(root) {
      const file = await open(join(root, 'acl/rules.csv'), 'w');
      await file.write('p, bob,');
      await delay(5);
      await file.write(' data1, read\n');
      await file.close();
    },
  },
  {
    style: 'by rename, as editors do',
    shows: [alice, bob],
    async change(root) {
      await writeFile(join(root, 'acl/.rules.csv.swp'), rule('bob'));
      await rename(join(root, 'acl/rules.csv'), join(root, 'acl/rules.csv~'));
      await rename(join(root, 'acl/.rules.csv.swp'), join(root, 'acl/rules.csv'));
    },
  },
  {
    style: 'in several files, one after the other',
    shows: [alice, bob],
    async change(root) {
      const renamed = idModel.replaceAll('sub', 'who');
      await writeFile(join(root, 'acl/policy-set.yaml'), 'request: { who: subject.id }\n');
      await delay(5);
      await writeFile(join(root, 'acl/model.conf'), renamed);
      await delay(5);
      await writeFile(join(root, 'acl/rules.csv'), rule('bob'));
    },
  },
  {
    style: 'by swapping a link, as Kubernetes does',
    shows: [alice, bob],
    async prepare(root) {
      await writeTree(root, { 'acl/..1/model.conf': idModel, 'acl/..1/rules.csv': rule('alice') });
      await symlink('..1', join(root, 'acl/..data'));
      for (const file of ['model.conf', 'rules.csv']) await symlink(`..data/${file}`, join(root, 'acl', file));
    },
    async change(root) {
      await writeTree(root, { 'acl/..2/model.conf': idModel, 'acl/..2/rules.csv': rule('bob') });
      await symlink('..2', join(root, 'acl/..data_tmp'));
      await rename(join(root, 'acl/..data_tmp'), join(root, 'acl/..data'));
      await rm(join(root, 'acl/..1'), { recursive: true });
    },
  },
  {
    style: 'by swapping a link to the whole directory, as git-sync does',
    shows: [alice, bob],
    async prepare(root) {
      await writeTree(join(root, '..1'), acl('alice'));
      await symlink('..1/acl', join(root, 'acl'));
    },
    async change(root) {
      await writeTree(join(root, '..2'), acl('bob'));
      await symlink('..2/acl', join(root, '..new'));
      await rename(join(root, '..new'), join(root, 'acl'));
    },
  },
  {
    style: 'in place behind a link, where no file event comes from',
    shows: [alice, bob],
    async prepare(root) {
      await writeTree(root, { 'acl/model.conf': idModel, '..elsewhere/rules.csv': rule('alice') });
      await symlink('../..elsewhere/rules.csv', join(root, 'acl/rules.csv'));
    },
    change: (root) => writeFile(join(root, '..elsewhere/rules.csv'), rule('bob')),
  },
  {
    style: 'by a git checkout, back and forth',
    shows: [alice, bob, alice],
    async prepare(root) {
      await writeTree(root, acl('alice'));
      git(root, 'init', '-q', '-b', 'one');
      git(root, 'add', '.');
      git(root, 'commit', '-qm', 'one');
      git(root, 'checkout', '-qb', 'two');
      await writeTree(root, acl('bob'));
      git(root, 'commit', '-qam', 'two');
      git(root, 'checkout', '-q', 'one');
    },
    async change(root, { store }) {
      git(root, 'checkout', '-q', 'two');
      await until(
        () => seen(store),
        (now) => now === bob,
      );
      git(root, 'checkout', '-q', 'one');
    },
  },
  {
    style: 'deleted and made again at once',
    shows: [alice, bob],
    async change(root) {
      await rm(join(root, 'acl'), { recursive: true });
      await writeTree(root, acl('bob'));
    },
  },
  {
    style: 'deleted, and made again after a while',
    shows: [alice, '-: other active', 'bob: acl active; other active'],
    async change(root, { store }) {
      await writeTree(root, { 'other/model.conf': idModel, 'other/rules.csv': rule('alice') });
      await until(
        () => seen(store),
        (now) => now.includes('other'),
      );
      await rm(join(root, 'acl'), { recursive: true });
      await until(
        () => seen(store),
        (now) => now === '-: other active',
      );
      await writeTree(root, acl('bob'));
    },
  },
  {
    style: 'with a rule that is broken, then repaired',
    shows: [alice, /^alice: acl stale \[rules.csv:2 \w+\]$/, bob],
    async change(root, { store }) {
      await writeFile(join(root, 'acl/rules.csv'), `${rule('bob')}p, carol\n`);
      await until(
        () => seen(store),
        (now) => now.includes('stale'),
      );
      await writeFile(join(root, 'acl/rules.csv'), rule('bob'));
    },
  },
  {
    style: 'with the model removed',
    shows: [alice, 'alice: acl stale [.:1 model_missing]'],
    change: (root) => rm(join(root, 'acl/model.conf')),
  },
  {
    style: 'with a file of 200 MB',
    shows: [alice, 'alice: acl stale [rules.csv:1 policy_set_too_large]'],
    change: (root) => truncate(join(root, 'acl/rules.csv'), 200 * 1024 * 1024),
  },
  {
    style: 'with a binary file',
    shows: [alice, 'alice: acl stale [rules.csv:1 binary_file]'],
    change: (root) => writeFile(join(root, 'acl/rules.csv'), Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1, 2, 3])),
  },
  {
    style: 'with a folder named like a file',
    shows: [alice, 'alice: acl stale [policy.csv:1 not_a_file]'],
    change: async (root) => void (await mkdir(join(root, 'acl/policy.csv'))),
  },
  {
    style: 'with a link that leads nowhere, or in a circle',
    shows: [alice, 'alice: acl stale [a.csv:1 unreadable_file, b.csv:1 unreadable_file]'],
    async change(root) {
      await symlink('nowhere', join(root, 'acl/a.csv'));
      await symlink('b.csv', join(root, 'acl/b.csv'));
    },
  },
  {
    style: 'with the folder made a link to itself',
    shows: [alice, 'alice: acl stale [.:1 unreadable_folder]'],
    async change(root) {
      await symlink('acl', join(root, '..new'));
      await rename(join(root, 'acl'), join(root, '..old'));
      await rename(join(root, '..new'), join(root, 'acl'));
    },
  },
  {
    style: 'with files that may not be read',
    shows: [alice, 'alice: acl stale [rules.csv:1 unreadable_file]'],
    change: (root) => chmod(join(root, 'acl/rules.csv'), 0o000),
  },
  {
    style: 'with a folder that may not be read',
    shows: [alice, 'alice: acl stale [.:1 unreadable_folder]'],
    change: (root) => chmod(join(root, 'acl'), 0o000),
  },
  {
    style: 'with the whole directory unreadable, then readable again',
    shows: [alice, 'alice: acl stale [.:1 policy_dir_unreadable]', bob],
    async change(root, { store }) {
      await chmod(root, 0o000);
      await until(
        () => seen(store),
        (now) => now.includes('stale'),
      );
      await writeTree(root, acl('bob')).catch(() => undefined);
      await chmod(root, 0o755);
      await writeTree(root, acl('bob'));
    },
  },
  {
    style: 'with the whole directory gone, then back',
    shows: [alice, 'alice: acl stale [.:1 policy_dir_missing]', alice],
    async change(root, { store }) {
      await rename(root, `${root}-away`);
      await until(
        () => seen(store),
        (now) => now.includes('stale'),
      );
      await rename(`${root}-away`, root);
    },
  },
  {
    style: 'with the whole directory empty',
    shows: [alice, 'alice: acl stale [.:1 policy_dir_empty]'],
    change: (root) => rm(join(root, 'acl'), { recursive: true }),
  },
  {
    style: 'every 50 ms for a while',
    shows: [alice, 'alice: acl stale [.:1 policy_set_changing]', bob],
    async change(root, { store }) {
      const changing = new AbortController();
      const writing = (async () => {
        while (!changing.signal.aborted) {
          await appendFile(join(root, 'acl/rules.csv'), '# more\n');
          await delay(15);
        }
      })();
      await until(
        () => seen(store),
        (now) => now.includes('changing'),
      );
      changing.abort();
      await writing;
      await writeFile(join(root, 'acl/rules.csv'), rule('bob'));
    },
  },
];

describe('a policy set that is changed while it serves', () => {
  for (const { style, shows, prepare, change } of styles) {
    it(style, async () => {
      const root = join(temporaryDirectory(), 'policies');
      await mkdir(root);
      await (prepare ?? ((path) => writeTree(path, acl('alice'))))(root);
      // Root may read what nobody may; the store looks as somebody else.
      if (process.getuid?.() === 0) execFileSync('chown', ['-R', '65534', join(root, '..')]);
      await withoutPrivileges(async () => {
        const started = await startedStore(root, { patienceMs: 300, settleMs: 40 });
        const { store } = started;
        const history: string[] = [];
        const note = () => {
          const now = seen(store);
          if (history.at(-1) !== now) history.push(now);
          return now;
        };
        const last = shows.at(-1) as string | RegExp;
        const noting = setInterval(note, 3);
        try {
          note();
          await change(root, started);
          await until(note, (now) => history.length >= Math.min(shows.length, 2) && matches(now, last));
        } finally {
          clearInterval(noting);
          await chmod(root, 0o755).catch(() => undefined);
          await chmod(join(root, 'acl'), 0o755).catch(() => undefined);
        }
        // It never shows what it should not: no mixture, nothing half written, no gap.
        const unexpected = history.filter((now) => !shows.some((show) => matches(now, show)));
        expect(unexpected.filter((now) => !/^(alice|-): (acl active; )?other active$/.test(now))).toEqual([]);
      });
    });
  }
});

describe('a change', () => {
  it('is seen by its file event, long before the next regular look', async () => {
    const root = temporaryDirectory();
    await writeTree(root, acl('alice'));
    const { store } = await startedStore(root, { pollMs: 3_600_000 });
    await writeFile(join(root, 'acl/rules.csv'), rule('bob'));
    await until(
      () => seen(store),
      (now) => now === bob,
    );
    await writeTree(root, { 'new/model.conf': idModel, 'new/rules.csv': rule('alice') });
    await until(
      () => seen(store),
      (now) => now === 'bob: acl active; new active',
    );
  });

  it('is told to whoever measures: what became of it and how long it took', async () => {
    const root = temporaryDirectory();
    await writeTree(root, { ...acl('alice'), 'other/model.conf': idModel, 'other/rules.csv': rule('alice') });
    const { store, events } = await startedStore(root);
    await store.reload('acl');
    await writeFile(join(root, 'acl/rules.csv'), 'nonsense');
    await until(
      () => seen(store),
      (now) => now.includes('stale'),
    );
    await rm(join(root, 'other'), { recursive: true });
    await until(
      () => seen(store),
      (now) => !now.includes('other'),
    );
    expect(events.map(({ policySet, result }) => `${policySet} ${result}`)).toEqual([
      'acl served',
      'other served',
      'acl unchanged',
      'acl failed',
      'other removed',
    ]);
    expect(events.every(({ durationMs }) => durationMs >= 0)).toBe(true);
  });
});

function matches(now: string, show: string | RegExp): boolean {
  return typeof show === 'string' ? now === show : show.test(now);
}
