/** P10: costly work that is asked for many times at once runs once at a time, and only so much of it waits. */
import { describe, expect, it } from 'vitest';
import { OneAtATime } from '../../src/turns/one-at-a-time.js';

describe('work that runs one piece at a time', () => {
  /** A piece of work, begun when it runs, that ends when the test says so. */
  const pieceOf = (begun: string[], name: string) => {
    let end = (_how: 'well' | 'badly'): void => undefined;
    const ended = new Promise<string>((resolve, reject) => {
      end = (how) => (how === 'well' ? resolve(name) : reject(new Error(name)));
    });
    const piece = () => {
      begun.push(name);
      return ended;
    };
    return { piece, end };
  };

  it('begins a piece when the one before has ended, well or not', async () => {
    const begun: string[] = [];
    const work = new OneAtATime({ pieces: 3, piecesOfCaller: 3 });
    const pieces = ['first', 'second', 'third'].map((name) => pieceOf(begun, name));
    const ended = pieces.map(({ piece }) => work.run('ann', piece));
    pieces[1]!.end('well');
    pieces[2]!.end('well');
    await new Promise(setImmediate);
    expect(begun).toEqual(['first']);
    pieces[0]!.end('badly');
    await expect(ended[0]).rejects.toThrow('first');
    expect(await ended[1]).toBe('second');
    expect(await ended[2]).toBe('third');
    expect(begun).toEqual(['first', 'second', 'third']);
  });

  it('has room for as many pieces as its limits say, of a caller and in all, and for more when one has ended', async () => {
    const work = new OneAtATime({ pieces: 3, piecesOfCaller: 2 });
    const first = pieceOf([], 'first');
    const waiting = [work.run('ann', first.piece)];
    expect(work.hasRoomFor('ann')).toBe(true);
    waiting.push(work.run('ann', async () => 'second'));
    expect([work.hasRoomFor('ann'), work.hasRoomFor('bob')]).toEqual([false, true]);
    waiting.push(work.run('bob', async () => 'third'));
    expect([work.hasRoomFor('ann'), work.hasRoomFor('bob')]).toEqual([false, false]);
    first.end('well');
    await Promise.all(waiting);
    expect([work.hasRoomFor('ann'), work.hasRoomFor('bob')]).toEqual([true, true]);
  });
});
