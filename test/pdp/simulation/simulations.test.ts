/** The simulations of a process: how many run, how they end, and what is left of them. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { currentSemantics } from '../../../src/core/semantics.js';
import { noVersions } from '../../../src/decision-log/recorded-entities.js';
import { compilePolicySet } from '../../../src/engine.js';
import { VerdictError } from '../../../src/errors.js';
import { mostRunning, type Simulation, Simulations } from '../../../src/pdp/simulation/simulations.js';
import { SqlitePolicyArchive } from '../../../src/policy-store/archive/sqlite/sqlite-policy-archive.js';
import { SqliteLiveDataStore } from '../../../src/policy-store/database/sqlite/sqlite-live-data-store.js';
import type { PolicySetFiles } from '../../../src/policy-store/policy-set-files.js';
import { exampleRecord } from '../../decision-log/example-records.js';
import { startLog, temporaryDirectory } from '../../decision-log/temporary-log.js';
import { idModel } from '../../models.js';

const filesOf = (rules: string) =>
  Object.freeze([
    { path: 'model.conf', bytes: Buffer.from(idModel) },
    { path: 'rules.csv', bytes: Buffer.from(rules) },
  ]);
const before = filesOf('p, ann, doc, read\n');
const after = filesOf('p, bob, doc, read\n');
const request = { subject: { id: 'ann' }, action: { name: 'read' }, resource: { id: 'doc' } };

async function simulationsOf({ endless }: { endless: boolean }) {
  const erasures = { newest: undefined as number | undefined };
  const directory = temporaryDirectory();
  const log = await startLog(directory);
  const path = `${directory}/verdict.sqlite`;
  const archive = await SqlitePolicyArchive.open(path);
  const data = await SqliteLiveDataStore.open(path);
  await archive.keep({ name: 'docs', files: before }, Date.now());
  const set = compilePolicySet({ model: idModel, rules: [{ file: 'rules.csv', text: 'p, ann, doc, read\n' }] });
  const now = Date.now() - 1_000;
  for (let n = 0; n < 10; n++) {
    const answer = set.decide(request, { now });
    const { version: policyVersion } = set;
    await log.append({
      ...exampleRecord(log, { now, policySet: 'docs' }),
      policyVersion,
      request,
      semantics: currentSemantics,
      ...answer,
    });
  }
  const simulations = new Simulations({
    log: {
      writers: () => log.writers(),
      export: (query, scope) => log.export(query, scope),
      // The same records again and again: a log that takes as long as the test wants.
      groups: async function* (query, pauseMs) {
        do yield* log.groups(query, pauseMs);
        while (endless);
      },
    },
    erasures: { newest: async () => erasures.newest },
    archive,
    data,
    versions: noVersions,
    replica: 'pdp-1',
  });
  onTestFinished(async () => {
    await simulations.stop();
    await data.close();
    await archive.close();
  });
  const begin = (files: PolicySetFiles['files'] = after, requireData = () => {}, filter?: string) =>
    simulations.start({
      policySet: 'docs',
      candidate: { files: { name: 'docs', files } },
      by: 'ann',
      requireData,
      filter,
    });
  const until = async (id: string, isThere: (status: Simulation) => boolean) => {
    for (;;) {
      const status = await simulations.find('docs', id);
      if (isThere(status)) return status;
      await delay(10);
    }
  };
  return { simulations, begin, until, data, erasures };
}

it('runs two at a time, and refuses one more', async () => {
  const { simulations, begin, until } = await simulationsOf({ endless: true });
  const ids: string[] = [];
  for (let n = 0; n < mostRunning; n++) ids.push((await begin()).id);
  await expect(begin()).rejects.toMatchObject({ code: 'simulations_in_progress', extra: { retryAfter: 10 } });
  expect(await simulations.list('docs')).toMatchObject({ hasRoom: false, items: [{ id: ids[1] }, { id: ids[0] }] });
  simulations.cancel('docs', ids[0]!);
  await until(ids[0]!, ({ state }) => state === 'cancelled');
  expect((await begin()).state).toBe('running');
});

it('keeps what was counted when it is cancelled, and forgets it when it is asked to again', async () => {
  const { simulations, begin, until } = await simulationsOf({ endless: true });
  const { id } = await begin();
  await until(id, ({ answered }) => answered > 100);
  simulations.cancel('docs', id);
  const { result, answered } = await until(id, ({ state }) => state === 'cancelled');
  expect(result).toMatchObject({ complete: false, cancelled: true, answered, lost: answered });
  expect(answered).toBeGreaterThan(100);
  simulations.cancel('docs', id);
  await expect(simulations.find('docs', id)).rejects.toThrow('no such simulation');
});

it('is found under its own set alone', async () => {
  const { simulations, begin, until } = await simulationsOf({ endless: false });
  const { id } = await begin();
  expect(await until(id, ({ state }) => state === 'done')).toMatchObject({
    result: { answered: 10, lost: 10, complete: true },
  });
  await expect(simulations.find('others', id)).rejects.toThrow('no such simulation');
  expect((await simulations.list('others')).items).toEqual([]);
});

it('ends its threads when the process stops', async () => {
  const { simulations, begin } = await simulationsOf({ endless: true });
  const { id } = await begin();
  await simulations.stop();
  expect((await simulations.find('docs', id)).state).toBe('cancelled');
});

it('drops what was begun before a person was erased: its result, and the condition that can name whom', async () => {
  const { simulations, begin, until, erasures } = await simulationsOf({ endless: false });
  const filter = "subject == 'ann'";
  const { id } = await begin(after, undefined, filter);
  expect(await until(id, ({ state }) => state === 'done')).toMatchObject({ filter, result: { lost: 10 } });
  const { startedAt } = await simulations.find('docs', id);
  erasures.newest = Date.parse(startedAt) - 1;
  expect(await simulations.find('docs', id)).toHaveProperty('result');
  erasures.newest = Date.parse(startedAt);
  const dropped = await simulations.find('docs', id);
  expect(dropped).toMatchObject({ state: 'failed', failure: expect.stringContaining('erased') });
  expect(JSON.stringify([dropped, await simulations.list('docs')])).not.toContain(filter);
  expect(dropped).not.toHaveProperty('result');
  // One that is begun afterwards reads what is left.
  await delay(2);
  expect(await until((await begin()).id, ({ state }) => state === 'done')).toMatchObject({ result: { lost: 10 } });
});

it('ends one that runs when a person is erased', async () => {
  const { simulations, begin, until, erasures } = await simulationsOf({ endless: true });
  const { id } = await begin();
  await until(id, ({ answered }) => answered > 0);
  erasures.newest = Date.now();
  const ended = await until(id, ({ endedAt }) => endedAt !== undefined);
  expect(ended).toMatchObject({ state: 'failed', failure: expect.stringContaining('erased') });
  expect(ended).not.toHaveProperty('result');
  await delay(2);
  expect((await simulations.list('docs')).hasRoom).toBe(true);
});

it('is not begun when the process stops while its candidate compiles', async () => {
  const { simulations, begin } = await simulationsOf({ endless: true });
  const refused = expect(begin()).rejects.toMatchObject({ code: 'shutting_down' });
  await simulations.stop();
  await refused;
  expect((await simulations.list('docs')).items).toEqual([]);
});

/** P7. */
it('asks whether the caller may read live data before it answers anything with some', async () => {
  const { simulations, begin, until, data } = await simulationsOf({ endless: false });
  const withData = [...after, { path: 'policy-set.yaml', bytes: Buffer.from('data: { entities: [user] }\n') }];
  const refuse = () => {
    throw new VerdictError('forbidden', 'data:read');
  };
  // There are none of the set.
  await until((await begin(withData, refuse)).id, ({ state }) => state === 'done');
  await data.write('docs', {
    added: { roles: [], entities: [{ type: 'user', id: 'ann', attributes: { ssn: '078-05-1120' } }] },
    removed: { roles: [], entities: [] },
    after: await data.revisions('docs'),
    by: 'carol',
    at: Date.now(),
    version: '',
  });
  const known = (await simulations.list('docs')).items.length;
  await expect(begin(withData, refuse)).rejects.toMatchObject({ code: 'forbidden' });
  expect(await simulations.list('docs')).toMatchObject({ hasRoom: true, items: { length: known } });
  for (const { id } of [await begin(withData), await begin(after, refuse)])
    await until(id, ({ state }) => state === 'done');
});
