/** P10: long work of all kinds takes one turn in a round of the event loop, however much of it there is. */
import { performance } from 'node:perf_hooks';
import fc from 'fast-check';
import { expect, it, onTestFinished, vi } from 'vitest';
import { JsonScan } from '../../src/http/json-scan.js';
import { parseStrictJsonInTurns } from '../../src/http/strict-json.js';
import { sortInTurns } from '../../src/turns/sort-in-turns.js';
import { inTurns, nextTurn, Turns, turnMs } from '../../src/turns/turns.js';

/** A clock that moves by hand, so that the length of a turn does not depend on the machine. */
function manualClock(): { pass: (ms: number) => void } {
  let now = 1_000;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
  onTestFinished(() => clock.mockRestore());
  return {
    pass: (ms) => {
      now += ms;
    },
  };
}

/** Counts what is done in each round of the event loop, until `work` is. */
async function piecesByRound(work: (noteWork: (ms: number) => void) => Promise<unknown>): Promise<number[]> {
  const clock = manualClock();
  const held: number[] = [0];
  let isDone = false;
  const nextRound = (): void => {
    if (isDone) return;
    held.push(0);
    setImmediate(nextRound);
  };
  setImmediate(nextRound);
  await work((ms) => {
    clock.pass(ms);
    held.push(held.pop()! + ms);
  });
  isDone = true;
  return held;
}

it('works of all kinds at once hold the event loop for one turn and a step in a round', async () => {
  const stepMs = 1;
  const held = await piecesByRound(async (noteWork) => {
    function* steps(count: number): Generator<void, number> {
      for (let step = 0; step < count; step++) {
        noteWork(stepMs);
        yield;
      }
      return count;
    }
    async function* waitingSteps(): AsyncGenerator<void, number> {
      for (let step = 0; step < 20; step++) {
        // As for an answer of the database.
        if (step % 4 === 0) await new Promise(setImmediate);
        yield;
        noteWork(stepMs);
      }
      return 20;
    }
    const run = JsonScan.prototype.run;
    const scan = vi.spyOn(JsonScan.prototype, 'run').mockImplementation(function (this: JsonScan, bytes) {
      noteWork(stepMs);
      return run.call(this, bytes);
    });
    onTestFinished(() => scan.mockRestore());
    const body = Buffer.from(JSON.stringify({ text: 'x'.repeat(500_000) }));
    const read = async (): Promise<void> => {
      const turns = new Turns();
      for (let record = 0; record < 30; record++) {
        if (record % 10 === 0) await new Promise(setImmediate);
        if (turns.isOver) await turns.next();
        noteWork(stepMs);
      }
    };
    const batch = async (): Promise<void> => {
      for (let turn = 0; turn < 5; turn++) {
        await nextTurn();
        noteWork(turnMs);
      }
    };
    const each = Array.from({ length: 16 });
    await Promise.all([
      ...each.map(() => inTurns(steps(40))),
      ...each.map(() => inTurns(waitingSteps())),
      ...each.map(() => parseStrictJsonInTurns(body, { depth: 16, values: 1_000 })),
      ...each.map(read),
      ...each.map(batch),
    ]);
  });
  const total = held.reduce((sum, ms) => sum + ms, 0);
  expect(total).toBeGreaterThan(16 * (40 + 20 + 10 + 30 + 5 * turnMs));
  // The step with which a turn ends is begun while time is left.
  expect(Math.max(...held)).toBeLessThanOrEqual(turnMs + stepMs);
});

it('turns are granted in the order in which they were asked for', async () => {
  const order: number[] = [];
  await Promise.all(Array.from({ length: 20 }, (_, who) => nextTurn().then(() => order.push(who))));
  expect(order).toEqual(Array.from({ length: 20 }, (_, who) => who));
});

it('a turn ends by its length, and with its round', async () => {
  const clock = manualClock();
  const turns = new Turns();
  expect(turns.isOver).toBe(true);
  await turns.next();
  clock.pass(turnMs);
  expect(turns.isOver).toBe(false);
  clock.pass(0.1);
  expect(turns.isOver).toBe(true);
  await turns.next();
  expect(turns.isOver).toBe(false);
  await new Promise(setImmediate);
  expect(turns.isOver).toBe(true);
});

it('work that throws leaves its turn to the others', async () => {
  function* failing(): Generator<void, never> {
    yield;
    throw new Error('broken');
  }
  const works = Array.from({ length: 3 }, () => inTurns(failing()));
  expect((await Promise.allSettled(works)).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  await nextTurn();
});

it('sorts as `sort` does, with a turn at least every five hundred items', async () => {
  const pairs = fc.array(fc.tuple(fc.integer({ min: 0, max: 50 }), fc.nat()), { maxLength: 3_000, size: 'max' });
  const compare = (a: readonly number[], b: readonly number[]) => a[0]! - b[0]!;
  vi.spyOn(Turns.prototype, 'isOver', 'get').mockReturnValue(true);
  const next = vi.spyOn(Turns.prototype, 'next').mockResolvedValue();
  onTestFinished(() => void vi.restoreAllMocks());
  await fc.assert(
    fc.asyncProperty(pairs, async (items) => {
      const before = next.mock.calls.length;
      expect(await sortInTurns(items, compare, new Turns())).toEqual([...items].sort(compare));
      expect(next.mock.calls.length - before).toBeGreaterThanOrEqual(Math.floor(items.length / 512));
    }),
    { numRuns: 30 },
  );
});
