/** P5: the verifier in Python that the documentation has, on exports of ours: the format is what the page says. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { exportProvenLog } from '../../src/cli/sources/verified-log.js';
import { digestOfPerson, StandingOrders } from '../../src/decision-log/erasure/standing-orders.js';
import { append } from '../decision-log/many-records.js';
import { startLog } from '../decision-log/temporary-log.js';
import { workFolder } from './run.js';

const verifier = fileURLToPath(new URL('../../docs/verify_export.py', import.meta.url));
const hasPython =
  process.env.VERDICT_TEST_REQUIRE === 'all' || spawnSync('python3', ['-c', 'import cryptography']).status === 0;

describe.skipIf(!hasPython)('the verifier in Python (skipped without python3 and its package cryptography)', () => {
  const numbers = [
    0, -0, 1.5, 1e21, 1e-7, 123456789012345680000, 5e-324, 0.1, -2.5e-9, 1e300, 100, 0.000001, 333333333.3333333,
  ];
  const texts = ['ü', '\ud83d\ude00', '\ufb33', '\u2028', '\u0001"\\', '\u007f'];

  it('finds nothing in an export of ours, whatever it leaves out, and what was changed, removed or moved in it', async () => {
    const cwd = workFolder({ policies: false });
    const log = await startLog(join(cwd, 'data'), { limits: { records: 60 }, retention: { maxRecords: 150 } });
    const attributes = { numbers, texts, ...Object.fromEntries(texts.map((text, i) => [text, i])), '10': 1, '9': 2 };
    for (let i = 0; i < 14; i++) await append(log, 17, (j) => ({ subject: `s${j}`, attributes }));
    await log.prune(Date.now());
    await log.stop();
    const losing = await startLog(join(cwd, 'data'), { mode: 'async', queueLimit: 10 });
    await append(losing, 40);
    await append(losing, 3);
    await losing.stop();
    writeFileSync(join(cwd, 'keys.json'), JSON.stringify({ keys: losing.publishedKeys }));

    const exported = async (filters: object): Promise<string> => {
      let text = '';
      await exportProvenLog(join(cwd, 'data/verdict.sqlite'), filters, async (piece) => {
        text += piece;
      });
      return text;
    };
    const verified = (text: string) => {
      writeFileSync(join(cwd, 'export.ndjson'), text);
      const { status, stdout, stderr } = spawnSync('python3', [verifier, 'export.ndjson', 'keys.json'], { cwd });
      return { status, said: `${stdout}${stderr}` };
    };
    const whole = await exported({});
    expect(whole).toContain('"gap"');
    expect(verified(whole)).toEqual({
      status: 0,
      said: expect.stringMatching(/^\d+ records, \d+ checkpoints: nothing/),
    });
    const some = await exported({ subject: 's3' });
    expect(some.length).toBeLessThan(whole.length / 3);
    expect(verified(some).status).toBe(0);

    const erasing = await startLog(join(cwd, 'data'), {});
    const key = Buffer.alloc(32);
    const order = { id: 'e-1', time: Date.now(), digest: digestOfPerson(key, 's3') };
    await erasing.erase({ standing: new StandingOrders(key, [order]) }, new AbortController().signal);
    await erasing.stop();
    const erased = await exported({});
    expect(verified(erased)).toEqual({ status: 0, said: expect.stringMatching(/; \d+ erased by e-1 on 20/) });
    expect(verified(erased.replace('"id":"[erased]"', '"id":"s4"'))).toMatchObject({ status: 1 });

    const lines = whole.split('\n');
    const group = lines.findIndex((line) => line.includes('"records"'));
    const anchor = lines.findIndex((line) => line.includes('anchor'));
    const wrongs: readonly (readonly [string, readonly string[]])[] = [
      ['a record that was changed', lines.with(group, lines[group]!.replace('"approve"', '"reprove"'))],
      ['a group that was removed', lines.toSpliced(group, 1)],
      ['groups in each other’s place', lines.with(group, lines[group + 1]!).with(group + 1, lines[group]!)],
      ['a retention that nobody signed', lines.toSpliced(anchor, 1)],
      ['a checkpoint that was changed', lines.with(1, lines[1]!.replace('sequence ', 'sequence 1'))],
      ['an end that is missing', lines.slice(0, -5)],
      ['a group added', lines.toSpliced(group, 0, lines[group]!)],
    ];
    for (const [what, changed] of wrongs) expect(verified(changed.join('\n')), what).toMatchObject({ status: 1 });
  });
});
