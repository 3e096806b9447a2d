/** A process that ends without warning in the middle of a removal keeps nobody from adding a hold. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openHolds } from '../../../src/cli/sources/database.js';
import { postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { temporaryDirectory } from '../temporary-log.js';

const wanted = { policySets: undefined, from: undefined, to: undefined, reason: 'case 7', by: 'legal' };

async function expectHoldAfterKill(database: string): Promise<void> {
  const holds = await openHolds(database);
  onTestFinished(() => holds.close());
  const { id } = await holds.add(wanted, 1);
  const script = join(import.meta.dirname, 'removes-until-killed.mjs');
  const remover = spawn(process.execPath, [script, database], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(remover.stdout, 'data');
  let isAdded = false;
  const added = holds.add(wanted, 2).then(() => {
    isAdded = true;
  });
  expect(isAdded).toBe(false);
  remover.kill('SIGKILL');
  await once(remover, 'close');
  await added;
  expect(await holds.inForce()).toHaveLength(2);
  expect((await holds.find(id)).released).toBeUndefined();
}

it('after kill -9 in the middle of a removal, SQLite', () =>
  expectHoldAfterKill(join(temporaryDirectory(), 'verdict.sqlite')));

describe.skipIf(!hasPostgres)('after kill -9 in the middle of a removal', () => {
  const server = postgresForTests();
  it('PostgreSQL', async () => expectHoldAfterKill(await server().createDatabase()));
});
