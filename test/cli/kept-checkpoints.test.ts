/** Checkpoints that were kept elsewhere are read in each form in which they leave the service. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readKeptCheckpoints } from '../../src/cli/sources/kept-checkpoints.js';
import { temporaryDirectory } from '../policy-store/folders.js';

const banner = 'verdict listening on http://127.0.0.1:8080';
const logged = (members: object) => JSON.stringify({ level: 30, time: 5, ...members });
const sent = (note: string) => JSON.stringify({ number: 1, time: 'then', note });

describe('what was kept of checkpoints', () => {
  const read = async (lines: readonly string[]) => {
    const path = join(temporaryDirectory(), 'kept');
    writeFileSync(path, lines.map((line) => `${line}\n`).join(''));
    return (await readKeptCheckpoints(path)).map(({ note, fault }) => note ?? fault);
  };

  it.each([
    ['its first line', [banner, logged({ msg: 'started' }), logged({ note: 'one' }), logged({ note: 'two' })]],
    ['a line between', [logged({ note: 'one' }), banner, '', 'Error: no', '    at here', logged({ note: 'two' })]],
    ['its last line, cut off', [logged({ note: 'one' }), logged({ note: 'two' }), '{"level":30,"no']],
  ])('is read from the log of a process, whose own output is %s', async (_where, lines) => {
    expect(await read(lines)).toEqual(['one', 'two']);
  });

  it('is not there in a log without any, but other logs of the same folder can have some', async () => {
    const silent = [banner, logged({ msg: 'started' }), logged({ msg: 'stopped' })];
    await expect(read(silent)).rejects.toThrow('holds no checkpoints');
    await expect(read([banner, 'more of no log'])).rejects.toThrow('holds no checkpoints');
    const folder = join(temporaryDirectory(), 'logs');
    mkdirSync(folder);
    writeFileSync(join(folder, 'a.log'), silent.join('\n'));
    writeFileSync(join(folder, 'b.log'), logged({ note: 'one' }));
    expect(await readKeptCheckpoints(folder)).toEqual([{ note: 'one', place: 'logs' }]);
  });

  it('has each line that cannot be read named where no process writes anything else', async () => {
    expect(await read([sent('one'), 'no JSON', sent('two')])).toEqual(['one', 'line 2 cannot be read', 'two']);
    expect(await read(['no JSON', sent('one'), sent('two')])).toEqual(['line 1 cannot be read', 'one', 'two']);
  });

  it('is a note as it is, of a replica or of the fleet', async () => {
    for (const first of ['verdict fleet', `verdict/${'0a'.repeat(16)}`])
      expect(await read([first, '1', '', '— key x'])).toEqual([`${first}\n1\n\n— key x\n`]);
  });
});
