import { describe, expect, it } from 'vitest';
import { IndexJob } from '../../../src/decision-log/postgres/index-job.js';
import { keySegments } from '../../../src/decision-log/postgres/key-segments.js';
import type { PageSources } from '../../../src/decision-log/postgres/page-sources.js';
import { sharedTop } from '../../../src/decision-log/postgres/shared-top.js';
import { postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { noon } from '../example-records.js';
import { SharedLog } from './shared-log.js';

describe.skipIf(!hasPostgres)('the ids that decisions of all replicas are about most often', () => {
  const server = postgresForTests();

  async function fill(): Promise<PageSources> {
    const log = await SharedLog.make(server());
    const [one, other] = [await log.addWriter(), await log.addWriter()];
    const subjects = ['ann', '__proto__', 'ann', 'bob', '', 'bob'];
    const examples = (from: number) =>
      subjects.map((subject, i) => ({
        subject,
        resource: `r${i % 2}`,
        now: noon + from + i,
        policySet: `set${i % 3}`,
      }));
    await one.ship(examples(0));
    await one.ship(examples(100));
    await log.set(one.number, `open_since = ${noon}`);
    while (await new IndexJob(log.database).step(true));
    await other.ship(examples(50));
    await log.set(other.number, `open_since = ${noon}`);
    one.keep([{ subject: 'ann', resource: 'r9', now: noon + 200, policySet: 'set0' }]);
    return { database: log.database, tail: one.tail, keyIndex: keySegments, pageMs: 10_000 };
  }

  it('are counted over what is indexed, what is not, and what is not shipped yet', async () => {
    const sources = await fill();
    expect(await sharedTop(sources, {}, 'subject')).toEqual({
      ids: [
        { id: 'ann', count: 7 },
        { id: 'bob', count: 6 },
        { id: '', count: 3 },
        { id: '__proto__', count: 3 },
      ],
      examined: 19,
    });
    expect(await sharedTop(sources, { subject: 'ann' }, 'resource')).toEqual({
      ids: [
        { id: 'r0', count: 6 },
        { id: 'r9', count: 1 },
      ],
      examined: 7,
    });
    expect((await sharedTop(sources, {}, 'subject', { policySets: ['set1'] })).examined).toBe(6);
    const from = new Date(noon + 100).toISOString();
    expect((await sharedTop(sources, { from }, 'subject')).examined).toBe(7);
    await expect(sharedTop(sources, { from: 'x' }, 'subject')).rejects.toMatchObject({ code: 'invalid_request' });
  });

  it('are those of the newest records when there is no time for all', async () => {
    const sources = await fill();
    const { examined, searchedTo } = await sharedTop({ ...sources, pageMs: 0 }, {}, 'subject');
    expect(examined).toBeGreaterThan(0);
    expect(examined).toBeLessThan(19);
    const since = await sharedTop(sources, { from: searchedTo! }, 'subject');
    // Those from this time on were all counted, and maybe some of the millisecond before.
    expect(since.examined).toBeLessThanOrEqual(examined);
    expect(since.examined).toBeGreaterThan(0);
  });

  it('are looked for in no more records than one answer reads', async () => {
    const log = await SharedLog.make(server());
    const writer = await log.addWriter();
    const groups = 66;
    const rows = Array.from({ length: groups }, (_, group) =>
      writer.group(
        Array.from({ length: 1_000 }, (_, i) => writer.record({ now: noon + group * 1_000 + i, subject: `s${i % 3}` })),
      ),
    );
    await log.ship(writer.number, rows);
    const sources = { database: log.database, tail: undefined, keyIndex: undefined, pageMs: 60_000 };
    const { ids, examined, searchedTo } = await sharedTop(sources, {}, 'subject');
    expect(examined).toBe(65_536);
    expect(ids.reduce((sum, { count }) => sum + count, 0)).toBe(examined);
    expect(searchedTo).toBe(new Date(noon + groups * 1_000 - examined + 1).toISOString());
  }, 60_000);
});
