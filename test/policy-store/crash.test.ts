import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { PolicyStore } from '../../src/policy-store/policy-store.js';
import { idModel } from '../models.js';
import { temporaryDirectory, writeTree } from './folders.js';
import { openArchive, startedStore } from './store.js';

const child = fileURLToPath(new URL('crash-child.mjs', import.meta.url));
const rule = (subject: string) => `p, ${subject}, data1, read\n`;

class Place {
  readonly directory = join(temporaryDirectory(), 'policies');
  readonly database = join(temporaryDirectory(), 'verdict.sqlite');

  write(subject: string): Promise<void> {
    return writeTree(this.directory, { 'acl/model.conf': idModel, 'acl/rules.csv': rule(subject) });
  }

  async start(): Promise<PolicyStore> {
    return (await startedStore(this.directory, { archive: await openArchive(this.database) })).store;
  }

  async crash(change: 'reload' | 'rollback', point: string, what: string): Promise<void> {
    const process = spawn('node', [child, this.directory, this.database, change, point, what], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const [, signal] = await once(process, 'exit');
    // The point was really on the way.
    expect(signal).toBe('SIGKILL');
  }
}

const reader = (store: PolicyStore) =>
  ['alice', 'bob'].filter((subject) => {
    const request = { subject, action: 'read', resource: 'data1' };
    return store.resolve('acl').compiled.decide(request, { now: 0 }).decision === 'allow';
  });

describe('a process that is killed', () => {
  const reloads = ['before keep', 'after keep', 'before setState', 'after setState', 'policy set served', 'end'];
  it.each(reloads)('in a reload, at "%s", serves the new version after it starts again', async (point) => {
    const at = new Place();
    await at.write('alice');
    await (await at.start()).stop();
    await at.crash('reload', point, rule('bob'));
    const store = await at.start();
    expect(reader(store)).toEqual(['bob']);
    expect(store.status('acl')).toMatchObject({ state: 'active', pinned: false });
  });

  it.each(reloads)(
    'in a reload, at "%s", serves one version or the other if its folder is broken then',
    async (point) => {
      const at = new Place();
      await at.write('alice');
      await (await at.start()).stop();
      await at.crash('reload', point, rule('bob'));
      await writeTree(at.directory, { 'acl/model.conf': 'broken' });
      const store = await at.start();
      const noted = reloads.indexOf(point) >= reloads.indexOf('after setState');
      expect(reader(store)).toEqual([noted ? 'bob' : 'alice']);
      expect(store.status('acl').state).toBe('stale');
    },
  );

  const rollbacks = ['before files', 'after files', 'before setState', 'after setState', 'policy set served', 'end'];
  it.each(rollbacks)('in a rollback, at "%s", is rolled back or not, and nothing between', async (point) => {
    const at = new Place();
    await at.write('alice');
    const first = await at.start();
    const alices = first.resolve('acl').version;
    await first.stop();
    await at.write('bob');
    await (await at.start()).stop();
    await at.crash('rollback', point, alices);
    const store = await at.start();
    const noted = rollbacks.indexOf(point) >= rollbacks.indexOf('after setState');
    expect(reader(store)).toEqual([noted ? 'alice' : 'bob']);
    expect(store.status('acl')).toMatchObject({ state: 'active', pinned: noted });
  });
});
