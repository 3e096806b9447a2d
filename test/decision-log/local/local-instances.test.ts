import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { LocalInstances } from '../../../src/decision-log/local/local-instances.js';
import { NumberRanges } from '../../../src/decision-log/local/number-ranges.js';
import { PostgresLocalInstances } from '../../../src/decision-log/local/postgres/postgres-local-instances.js';
import { SqliteLocalInstances } from '../../../src/decision-log/local/sqlite/sqlite-local-instances.js';
import { openDatabase, postgresForTests } from '../../database/postgres/databases.js';
import { hasPostgres } from '../../database/postgres/postgres-server.js';
import { temporaryDirectory } from '../temporary-log.js';
import { describeLocalInstances } from './local-instances-suite.js';

function closing<Store extends LocalInstances>(store: Store): Store {
  onTestFinished(() => store.close());
  return store;
}

describeLocalInstances('SQLite', () => {
  const path = join(temporaryDirectory(), 'verdict.sqlite');
  return { open: async (most) => closing(await SqliteLocalInstances.open(path, false, most)) };
});

describe.skipIf(!hasPostgres)('PostgreSQL (skipped where it is not installed)', () => {
  const server = postgresForTests();
  describeLocalInstances('PostgreSQL', () => {
    const url = server().newSchema();
    return { open: async (most) => closing(await PostgresLocalInstances.open(openDatabase(url), most)) };
  });
});

describe('ranges of numbers', () => {
  it.each<[numbers: number[], next: number, raised: number, text: string]>([
    [[], 1, 1, ''],
    [[1, 2, 3], 1, 4, ''],
    [[2, 3, 5], 1, 1, '2-3,5'],
    [[5, 1, 3, 2], 1, 4, '5'],
    [[7], 9, 9, ''],
  ])('%j behind %d: %d is next, and "%s" are there', (numbers, next, raised, text) => {
    const joined = NumberRanges.none.joined(numbers, next);
    expect([joined.next, `${joined.ranges}`]).toEqual([raised, text]);
    const read = NumberRanges.read(text);
    expect(`${read}`).toBe(text);
    expect(numbers.filter((number) => number > raised).every((number) => read.has(number))).toBe(true);
    expect(`${read.joined([], raised).ranges}`).toBe(text);
  });
});
