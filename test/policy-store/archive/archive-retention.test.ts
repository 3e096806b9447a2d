import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { ArchiveRetention } from '../../../src/policy-store/archive/archive-retention.js';
import type { PolicyArchive } from '../../../src/policy-store/archive/policy-archive.js';
import { SqlitePolicyArchive } from '../../../src/policy-store/archive/sqlite/sqlite-policy-archive.js';
import { versionOf } from '../../../src/policy-store/policy-set-files.js';
import { exampleRecord, noon } from '../../decision-log/example-records.js';
import { startLog } from '../../decision-log/temporary-log.js';
import { idModel } from '../../models.js';
import { temporaryDirectory } from '../folders.js';

const hour = 3_600_000;

afterEach(() => vi.useRealTimers());

/** An archive of 103 versions of a set, put into service an hour after one another, the last two hours before noon. */
async function filledArchive(directory: string): Promise<{ archive: PolicyArchive; versions: string[] }> {
  const archive = await SqlitePolicyArchive.open(join(directory, 'verdict.sqlite'));
  const versions: string[] = [];
  for (let each = 103; each >= 1; each--) {
    const files = [idModel, `p, alice, data${each}, read\n`].map((text, index) => ({
      path: index === 0 ? 'model.conf' : 'rules.csv',
      bytes: Buffer.from(text),
    }));
    await archive.keep({ name: 'acl', files }, noon - (each + 1) * hour);
    versions.push(versionOf(files));
  }
  return { archive, versions };
}

async function keptVersions(archive: PolicyArchive): Promise<string[]> {
  return (await archive.versions('acl', 1_000)).items.map(({ version }) => version).reverse();
}

it('the oldest record that is kept says which versions are, beyond the newest hundred', async () => {
  const directory = temporaryDirectory();
  const log = await startLog(directory);
  expect(await log.oldestRecord()).toBeUndefined();
  // Half an hour after the third version was put into service.
  const oldest = noon - 101.5 * hour;
  for (const now of [noon, oldest, noon + hour]) await log.append(exampleRecord(log, { now }));
  expect(await log.oldestRecord()).toBe(oldest);

  const { archive, versions } = await filledArchive(directory);
  const onProblem = vi.fn();
  const retention = new ArchiveRetention({ archive, oldestRecord: () => log.oldestRecord(), onProblem });
  retention.start();
  await vi.waitUntil(async () => (await keptVersions(archive)).length < 103);
  await retention.stop();
  // The first ended 103 hours before noon. The second ended less than an hour before the record: it may have made it.
  expect(onProblem).not.toHaveBeenCalled();
  expect(await keptVersions(archive)).toEqual(versions.slice(1));
  await archive.close();
});

it('without records the newest hundred are kept; a failure is told, and the next turn goes on', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const { archive, versions } = await filledArchive(temporaryDirectory());
  const onProblem = vi.fn();
  let failing = true;
  const oldestRecord = async () => {
    if (failing) throw new Error('away');
    return undefined;
  };
  const retention = new ArchiveRetention({ archive, oldestRecord, onProblem });
  retention.start();
  await vi.waitUntil(() => onProblem.mock.calls.length === 1);
  expect(await keptVersions(archive)).toEqual(versions);
  failing = false;
  vi.advanceTimersByTime(hour);
  await vi.waitUntil(async () => (await keptVersions(archive)).length === 100);
  await retention.stop();
  expect(await keptVersions(archive)).toEqual(versions.slice(3));
  await archive.close();
});
