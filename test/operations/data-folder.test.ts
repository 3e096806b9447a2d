/** One serving process for a data folder, and what is said of folders that cannot be used. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { whyTooFewOpenFiles } from '../../src/config/open-files.js';
import { isRoot, ServiceProcess, serviceFolder, smallDisk } from './processes.js';

const listening = /^verdict listening on/m;

describe('one serving process for a data folder', { timeout: 180_000 }, () => {
  it('a second one is refused with the instance and the process that has it, and changes nothing for the first', async () => {
    const directory = serviceFolder();
    const first = await ServiceProcess.start(directory, { VERDICT_INSTANCE: 'pdp-7' });
    const second = ServiceProcess.run(directory, ['serve', '--local']);
    expect(await second.exit).toBe(78);
    expect(second.output.stderr).toContain(
      `${join(directory, 'data')} is in use by instance "pdp-7" (process ${first.pid})`,
    );
    expect(second.output.stderr).toContain('VERDICT_LOCK_WAIT');
    expect(second.output.stdout).not.toMatch(listening);
    expect((await first.decide()).status).toBe(200);
    expect(await first.stop()).toBe(0);
  });

  it('keys, backup and reading commands go on beside it', async () => {
    const directory = serviceFolder();
    const service = await ServiceProcess.start(directory);
    const { decisionId } = (await service.decide()).body;
    for (const args of [
      ['keys', 'create', 'shop', '--scope', 'decide'],
      ['backup', 'copy'],
    ]) {
      const command = ServiceProcess.run(directory, args);
      expect(await command.exit, command.output.stderr).toBe(0);
    }
    const query = ServiceProcess.run(directory, ['log', 'query', '--output', 'ndjson']);
    expect(await query.exit, query.output.stderr).toBe(0);
    expect(query.output.stdout).toContain(decisionId);
    expect((await service.decide()).status).toBe(200);
  });
});

describe('a data folder that cannot be used', { timeout: 180_000 }, () => {
  const refusedFor = async (directory: string, env: Record<string, string> = {}) => {
    const service = ServiceProcess.run(directory, ['serve', '--local'], env);
    expect(await service.exit).toBe(78);
    expect(service.output.stdout).not.toMatch(listening);
    return service.output.stderr;
  };

  it('a file in its place is named', async () => {
    const directory = serviceFolder();
    writeFileSync(join(directory, 'data'), 'a file');
    expect(await refusedFor(directory)).toContain(`names the folder ${join(directory, 'data')}, which is not a folder`);
  });

  it('a folder in the place of a database is named', async () => {
    const directory = serviceFolder();
    for (const name of ['verdict.sqlite', 'verdict.decisions.sqlite']) {
      mkdirSync(join(directory, 'data', name), { recursive: true });
      expect(await refusedFor(directory)).toContain(`${join(directory, 'data', name)} is not a file`);
      rmSync(join(directory, 'data', name), { recursive: true });
    }
  });

  it.skipIf(!isRoot)('a folder, and a file, that this user may not write are named', async () => {
    const directory = serviceFolder();
    chmodSync(directory, 0o755);
    mkdirSync(join(directory, 'data'));
    const asNobody = (args: string[]) => {
      try {
        return execFileSync(
          'setpriv',
          ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, ...args],
          {
            cwd: directory,
            env: { PATH: process.env.PATH, VERDICT_PORT: '0' },
            encoding: 'utf8',
            stdio: 'pipe',
          },
        );
      } catch (error) {
        return String((error as { stderr: string }).stderr);
      }
    };
    const serve = [new URL('../../dist/cli.js', import.meta.url).pathname, 'serve', '--local'];
    expect(asNobody(serve)).toContain(
      `${join(directory, 'data')}, which cannot be read and written by this user (EACCES)`,
    );
    chmodSync(join(directory, 'data'), 0o777);
    writeFileSync(join(directory, 'data/verdict.sqlite'), '', { mode: 0o600 });
    expect(asNobody(serve)).toContain(
      `${join(directory, 'data/verdict.sqlite')} cannot be read and written by this user`,
    );
  });

  it.skipIf(!isRoot)('a read-only file system is named', async ({ skip }) => {
    const directory = serviceFolder();
    const disk = smallDisk(directory, 4);
    if (disk === undefined) return skip('file systems cannot be mounted here');
    execFileSync('mount', ['-o', 'remount,ro', disk]);
    const env = { VERDICT_DATABASE_URL: `sqlite:${join(disk, 'verdict.sqlite')}` };
    expect(await refusedFor(directory, env)).toContain(`${disk}, which is on a read-only file system`);
  });
});

describe('open files', { timeout: 180_000 }, () => {
  it('too few of them for the connections that may come are said, with the figures', () => {
    expect(whyTooFewOpenFiles({ maxConnections: 10_000 }, 10_256)).toBeUndefined();
    const warning = whyTooFewOpenFiles({ maxConnections: 10_000 }, 10_255);
    expect(warning).toContain('10255 files');
    expect(warning).toContain('needs 10256');
    expect(warning).toContain('VERDICT_MAX_CONNECTIONS to 9999 at most');
  });

  it.skipIf(process.platform !== 'linux')('they are said at start', async () => {
    const directory = serviceFolder();
    const service = ServiceProcess.run(directory, ['serve', '--local'], { VERDICT_MAX_CONNECTIONS: '100000000' });
    await expect.poll(() => service.output.stdout, { timeout: 120_000 }).toMatch(listening);
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
    if (limit === undefined) return;
    const said = service.lines.filter(({ level, msg }) => level === 40 && msg.includes('ulimit -n'));
    expect(said.map(({ msg }) => msg)).toEqual([expect.stringContaining('needs 100000256')]);
  });
});
