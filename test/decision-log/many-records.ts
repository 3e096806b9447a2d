/** Writing many records, and reading all of them again. */
import type { DecisionLog } from '../../src/decision-log/decision-log.js';
import type { DecisionRecord } from '../../src/decision-log/decision-record.js';
import { type Example, exampleRecord } from './example-records.js';

/** Ten at a time, so that a group is not much more than that. */
export async function append(
  log: DecisionLog,
  count: number,
  example: (i: number) => Example = () => ({}),
): Promise<void> {
  for (let i = 0; i < count; i += 10) {
    await Promise.all(
      Array.from({ length: Math.min(10, count - i) }, (_, j) => log.append(exampleRecord(log, example(i + j)))),
    );
  }
}

export async function everything(log: Pick<DecisionLog, 'search'>, query = {}): Promise<DecisionRecord[]> {
  const records: DecisionRecord[] = [];
  let cursor: string | undefined;
  do {
    const page = await log.search({ ...query, limit: 1_000, ...(cursor !== undefined && { cursor }) });
    records.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return records;
}

export function sequencesOf(records: readonly DecisionRecord[]): number[] {
  return records.map(({ sequence }) => sequence);
}

/** `countDown(3)` → [3, 2, 1] */
export function countDown(from: number, to = 1): number[] {
  return Array.from({ length: from - to + 1 }, (_, i) => from - i);
}
