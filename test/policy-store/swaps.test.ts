import { mkdir, rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { versionOf } from '../../src/policy-store/policy-set-files.js';
import { idModel } from '../models.js';
import { temporaryDirectory, writeTree } from './folders.js';
import { openArchive, startedStore } from './store.js';

/** Two versions that differ in every file: a mixture of them would not load, or answer neither way. */
const versions = {
  alice: {
    'model.conf': idModel,
    'rules.csv': 'p, user:alice, data1, read\n',
    'policy-set.yaml': 'request: { sub: "${subject.type}:${subject.id}" }\n',
    'entities.yaml': '- { type: user, id: alice }\n- { type: user, id: bob }\n',
  },
  bob: {
    'model.conf': idModel.replace('p = sub, obj, act', 'p = act, obj, sub'),
    'rules.csv': 'p, read, data1, person/bob\n',
    'policy-set.yaml': 'request: { sub: "${subject.type}/${subject.id}" }\n',
    'entities.yaml': '- { type: person, id: alice }\n- { type: person, id: bob }\n',
  },
};
const broken = { ...versions.alice, 'rules.csv': 'p, user:alice\n' };

const clientCount = 64;

async function swapUnderLoad(swaps: number, brokenEvery: number | undefined) {
  const root = temporaryDirectory();
  const directory = join(root, 'policies');
  // Within the policy directory, as a ConfigMap has them: a link that leads out of it is refused.
  await mkdir(directory);
  for (const [name, files] of Object.entries({ ...versions, broken }))
    await writeTree(join(directory, `.${name}`), files);
  const point = async (name: string) => {
    await symlink(`.${name}`, join(directory, '.next'));
    await rename(join(directory, '.next'), join(directory, 'acl'));
  };
  await point('alice');
  const archive = await openArchive(join(root, 'verdict.sqlite'));
  const { store } = await startedStore(directory, { archive, pollMs: 10_000, settleMs: 1 });
  const allows = new Map(Object.entries(versions).map(([name, files]) => [versionOfTexts(files), name]));

  let swapping = true;
  const served = new Set<string>();
  const wrong: string[] = [];
  let answers = 0;
  const client = async () => {
    while (swapping) {
      const set = store.resolve('acl');
      served.add(set.version);
      // A swap may come between resolving a set and asking it, and between two questions to it.
      await setImmediate();
      for (const id of ['alice', 'bob']) {
        const request = { subject: { id }, action: { name: 'read' }, resource: { id: 'data1' } };
        const { decision, errors } = await set.evaluate(request, { now: 0, explain: 'brief' });
        const right = (allows.get(set.version) === id) === (decision === 'allow');
        if (!right || errors.length > 0) wrong.push(`${set.version} ${id} ${decision} ${JSON.stringify(errors)}`);
        answers++;
        await setImmediate();
      }
    }
  };
  const clients = Array.from({ length: clientCount }, client);
  let swapped = 0;
  for (let swap = 1; swap <= swaps; swap++) {
    const name = swap % 2 === 1 ? 'bob' : 'alice';
    const isBroken = brokenEvery !== undefined && swap % brokenEvery === 0;
    const before = store.resolve('acl').version;
    await point(isBroken ? 'broken' : name);
    await store.reload('acl');
    const { state, version } = store.status('acl');
    if (isBroken) expect([state, version]).toEqual(['stale', before]);
    else {
      expect(state).toBe('active');
      if (version !== before) swapped++;
    }
  }
  swapping = false;
  await Promise.all(clients);
  return { wrong, answers, swapped, served: served.size };
}

function versionOfTexts(texts: Record<string, string>): string {
  return versionOf(Object.entries(texts).map(([path, text]) => ({ path, bytes: Buffer.from(text) })));
}

describe('swaps under load', () => {
  it('500 of them: each answer is right for the version that it names', { timeout: 120_000 }, async () => {
    const { wrong, answers, swapped, served } = await swapUnderLoad(500, undefined);
    expect(wrong).toEqual([]);
    expect(swapped).toBe(500);
    expect(served).toBe(2);
    expect(answers).toBeGreaterThan(1_000);
  });

  it('with every third version broken: the one before goes on', { timeout: 120_000 }, async () => {
    const { wrong, answers, served } = await swapUnderLoad(150, 3);
    expect(wrong).toEqual([]);
    expect(served).toBe(2);
    expect(answers).toBeGreaterThan(300);
  });
});
