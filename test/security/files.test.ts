/** Files of the service are readable by their owner only, for every umask of the process. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { SqliteDecisionLog } from '../../src/decision-log/sqlite/sqlite-decision-log.js';
import { startKeyedService } from './keyed-service.js';

it('each file that the service makes has mode 0600, and its folder 0700', async () => {
  const mask = process.umask(0);
  const keyed = await startKeyedService({ admin: 'scopes: [decide, "keys:admin", "decisions:read"]' });
  try {
    await keyed.as('admin', 'POST', '/v1/decide', { subject: 'ann', action: 'read', resource: 'doc' });
    await keyed.as('admin', 'POST', '/v1/api-keys', { name: 'new', scopes: ['decide'] });
    await (keyed.service.log as SqliteDecisionLog).indexNow();
    const folder = join(keyed.service.directory, 'data');
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    const files = readdirSync(folder, { recursive: true, withFileTypes: true });
    expect(files.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['verdict.sqlite', 'verdict.sqlite-wal', 'verdict.decisions.sqlite']),
    );
    const open = files.filter((file) => statSync(join(file.parentPath, file.name)).mode & 0o077);
    expect(open.map(({ name }) => name)).toEqual([]);
  } finally {
    process.umask(mask);
    await keyed.stop();
  }
});
