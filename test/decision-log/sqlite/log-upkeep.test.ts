/** How a file of the journal is ended while commits go on; its index is a stand-in, since a real one cannot be slow at will. */
import { expect, it, vi } from 'vitest';
import { noHolds } from '../../../src/decision-log/holds/holds.js';
import type { JournalFiles } from '../../../src/decision-log/sqlite/journal-files.js';
import { LogUpkeep } from '../../../src/decision-log/sqlite/log-upkeep.js';

function upkeepOf({ index, turn }: { index: object; turn: () => Promise<boolean> }) {
  const files = {
    index: { indexedTo: 0, checkpoint: async () => ({ frames: 0, restarted: false }), ...index },
    journal: { start: 1, end: { sequence: 10_000 } },
    wal: { isDue: false, writeBack: async () => undefined },
    turn,
    measure: async () => undefined,
    closedStep: async () => false,
  } as unknown as JournalFiles;
  return new LogUpkeep({
    files: () => files,
    retention: undefined,
    holds: noHolds,
    turnPauseMs: undefined,
    onProblem: vi.fn(),
  });
}

it('while a file is made ready for its end, one commit waits a moment, and those behind it do not wait at all (P4)', async () => {
  let ready: (more: boolean) => void = () => undefined;
  const madeReady = new Promise<boolean>((resolve) => {
    ready = resolve;
  });
  const upkeep = upkeepOf({
    index: { catchUpStep: () => madeReady },
    turn: async () => true,
  });
  let first = false;
  const waiting = upkeep.turn().then(() => {
    first = true;
  });
  // Resolves within this turn of the event loop, long before the first one.
  await upkeep.turn();
  expect(first).toBe(false);
  await waiting;
  ready(false);
  await upkeep.settled();
});

it('a file is ended though records come faster than its index can be merged', async () => {
  const turn = vi.fn(async () => true);
  // There is always something more to merge.
  const upkeep = upkeepOf({
    index: {
      catchUpStep: async () => false,
      mergeAllStep: async () => true,
      finishMergeStep: async () => false,
      indexStep: async () => false,
    },
    turn,
  });
  await upkeep.turn();
  expect(turn).toHaveBeenCalledOnce();
});
