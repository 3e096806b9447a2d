/** Which versions of policy sets stay in the archive of replicas that share one decision log. */
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  ArchiveRetention,
  type ArchiveRetentionOptions,
} from '../../../../src/policy-store/archive/archive-retention.js';
import type { PolicyArchive } from '../../../../src/policy-store/archive/policy-archive.js';
import { PostgresPolicyArchive } from '../../../../src/policy-store/archive/postgres/postgres-policy-archive.js';
import { versionOf } from '../../../../src/policy-store/policy-set-files.js';
import { openDatabase, postgresForTests } from '../../../database/postgres/databases.js';
import { hasPostgres } from '../../../database/postgres/postgres-server.js';
import { exampleRecord, noon } from '../../../decision-log/example-records.js';
import { startReplica } from '../../../decision-log/postgres/shared-home.js';
import { temporaryDirectory } from '../../../decision-log/temporary-log.js';
import { onePolicySet, startService } from '../../../http/service.js';
import { hour, setOf } from '../policy-archive-suite.js';

describe.skipIf(!hasPostgres)('archived versions of many replicas (skipped where PostgreSQL is not installed)', () => {
  const server = postgresForTests();

  /** 103 versions, put into service an hour after one another, the last two hours before noon. */
  async function filledArchive(url: string): Promise<{ archive: PolicyArchive; versions: string[] }> {
    const archive = await PostgresPolicyArchive.open(openDatabase(url));
    const versions: string[] = [];
    for (let each = 103; each >= 1; each--) {
      const set = setOf(`p, alice, data${each}, read\n`);
      await archive.keep(set, noon - (each + 1) * hour);
      versions.push(versionOf(set.files));
    }
    return { archive, versions };
  }

  async function keptVersions(archive: PolicyArchive): Promise<string[]> {
    return (await archive.versions('acl', 1_000)).items.map(({ version }) => version).reverse();
  }

  /** One turn of a replica. */
  async function turn(options: Omit<ArchiveRetentionOptions, 'onProblem'>): Promise<void> {
    const onProblem = vi.fn();
    const retention = new ArchiveRetention({ ...options, onProblem });
    const prune = vi.spyOn(options.archive, 'prune');
    retention.start();
    await vi.waitUntil(() => prune.mock.settledResults.some(({ type }) => type === 'fulfilled'), { timeout: 10_000 });
    prune.mockRestore();
    // Its archive goes on to prune in the next turn.
    const ended = vi.spyOn(options.archive, 'endPruning').mockReturnValue();
    await retention.stop();
    ended.mockRestore();
    expect(onProblem).not.toHaveBeenCalled();
  }

  it('a version stays as long as a record of any replica may name it, also one that is still to come', async () => {
    const url = await server().createDatabase();
    const [one, other] = [
      await startReplica(url, temporaryDirectory(), { instance: 'one' }),
      await startReplica(url, temporaryDirectory(), { instance: 'other' }),
    ];
    const { archive, versions } = await filledArchive(url);
    // Half an hour after the second version was put into service; the other replica has what is newer.
    await other.append(exampleRecord(other, { now: noon - 102.5 * hour }));
    await one.append(exampleRecord(one, { now: noon }));
    await Promise.all([one.shipped(), other.shipped()]);
    await turn({ archive, oldestRecord: () => one.oldestRecord() });
    expect(await keptVersions(archive)).toEqual(versions);

    // The other one is cut off: what it decided since, nobody knows. Its records went with their day.
    const writer = other.status.shipping!.writer!;
    await other.stop();
    const database = openDatabase(url);
    await database.write(
      `UPDATE ${database.table('decision_writer')}
       SET state = 'running', beat = now() - interval '1 hour', complete_to = $1 WHERE writer = $2`,
      [noon - 102.5 * hour, writer],
    );
    await database.write(`DELETE FROM ${database.table('decision_group')} WHERE writer = $1`, [writer]);
    await turn({ archive, oldestRecord: () => one.oldestRecord() });
    expect(await keptVersions(archive)).toEqual(versions);

    await one.retire(writer);
    await turn({ archive, oldestRecord: () => one.oldestRecord() });
    expect(await keptVersions(archive)).toEqual(versions.slice(3));
  }, 60_000);

  it('a version that one replica goes on serving stays, while others go on to newer ones', async () => {
    const url = await server().createDatabase();
    const { archive, versions } = await filledArchive(url);
    const oldestRecord = async () => undefined;
    const served = () => [{ name: 'acl', version: versions[0]! }];
    await turn({ archive, served, oldestRecord });
    expect(await keptVersions(archive)).toEqual([versions[0], ...versions.slice(4)]);
  });

  it('a service on PostgreSQL removes what no replica needs', async () => {
    const url = await server().createDatabase();
    const { archive, versions } = await filledArchive(url);
    const spoolDir = join(temporaryDirectory(), 'spool');
    const service = await startService(onePolicySet, { databaseUrl: url, spoolDir });
    onTestFinished(() => service.stop());
    await vi.waitUntil(async () => (await keptVersions(archive)).length < 103, { timeout: 10_000 });
    expect(await keptVersions(archive)).toEqual(versions.slice(3));
  }, 60_000);
});
