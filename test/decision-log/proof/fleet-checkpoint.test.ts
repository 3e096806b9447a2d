import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { FleetChain } from '../../../src/decision-log/proof/fleet-chain.js';
import {
  beforeFirst,
  type FleetCheckpoint,
  hashOfFleetCheckpoint,
  openFleetCheckpoint,
  signFleetCheckpoint,
} from '../../../src/decision-log/proof/fleet-checkpoint.js';
import { sha256Of } from '../../../src/decision-log/proof/merkle-tree.js';
import { noteSigner } from '../../../src/decision-log/proof/signed-note.js';

const key = noteSigner('verdict-fleet', generateKeyPairSync('ed25519').privateKey);
const hash = (text: string) => sha256Of(Buffer.from(text));

/** A chain of checkpoints, by their numbers. */
function chain(length: number): { checkpoint: FleetCheckpoint; note: string }[] {
  const made: { checkpoint: FleetCheckpoint; note: string }[] = [];
  for (let number = 1; number <= length; number++) {
    const before = made.at(-1);
    const checkpoint: FleetCheckpoint = {
      number,
      previous: before === undefined ? beforeFirst : hashOfFleetCheckpoint(before.note),
      time: Date.UTC(2026, 0, 1, 0, number),
      ...(number > 1 && { audit: { events: number, link: hash(`audit ${number}`) } }),
      heads: ['0a', 'ff'].map((tree) => ({
        tree: tree.repeat(16),
        size: number,
        root: hash(`${tree} ${number}`),
        sequence: number * 3,
      })),
    };
    made.push({ checkpoint, note: signFleetCheckpoint(checkpoint, key) });
  }
  return made;
}

const breaksOf = (links: readonly { checkpoint: FleetCheckpoint; note: string; place?: string }[], own = 'none') => {
  const found = new FleetChain();
  for (const { checkpoint, note, place = 'a file' } of links) found.add(checkpoint, note, place);
  return [...found.breaks(own)].map(({ kind, place, what }) => `${kind}: ${place}: ${what}`);
};

describe('a checkpoint of the fleet', () => {
  it('is read as it was written, with and without audit events and heads', () => {
    for (const { checkpoint, note } of chain(3)) expect(openFleetCheckpoint(note, [key])).toEqual(checkpoint);
    const bare = { number: 1, previous: beforeFirst, time: 0, heads: [] };
    expect(openFleetCheckpoint(signFleetCheckpoint(bare, key), [key])).toEqual(bare);
  });

  it('is not read when any bit of it is another one', () => {
    const bytes = Buffer.from(chain(2)[1]!.note);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      expect(openFleetCheckpoint(bytes.toString(), [key])).toBeUndefined();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
    }
    const other = noteSigner('verdict-fleet', generateKeyPairSync('ed25519').privateKey);
    expect(openFleetCheckpoint(bytes.toString(), [other])).toBeUndefined();
  });
});

describe('a chain of them', () => {
  it('has no break, whole or from a later one on, also where two places have parts of it', () => {
    const links = chain(9);
    expect(breaksOf(links)).toEqual([]);
    expect(breaksOf(links.slice(4))).toEqual([]);
    expect(breaksOf([...links.slice(6), ...links.slice(0, 2).map((link) => ({ ...link, place: 'kept' }))])).toEqual([]);
    expect(breaksOf([...links, ...links])).toEqual([]);
  });

  it('has no break where another place has what the log of one process lacks, after a failover', () => {
    const links = chain(9);
    const log = links.filter(({ checkpoint: { number } }) => number <= 3 || number === 7 || number === 8);
    const own = links.map((link) => ({ ...link, place: 'the database' }));
    expect(breaksOf([...log, ...own], 'the database')).toEqual([]);
    expect(breaksOf([...log, ...own.toSpliced(4, 1)], 'the database')).toEqual([
      'missing: the database: checkpoint 5 of the fleet is missing',
    ]);
    const other = links.slice(4, 6).map((link) => ({ ...link, place: 'another log' }));
    expect(breaksOf([...log, ...other])).toEqual(['missing: a file: checkpoint 4 of the fleet is missing']);
  });

  it('is looked at where there are more of them than a call takes arguments', () => {
    const found = new FleetChain();
    const last = 200_000;
    for (let [number, previous] = [1, beforeFirst]; number <= last; number++) {
      const note = `${number}\n\n`;
      if (number !== 7) found.add({ number, previous, time: 0, heads: [] }, note, 'the database');
      previous = hashOfFleetCheckpoint(note);
    }
    expect([...found.breaks('the database')].map(({ what }) => what)).toEqual(['checkpoint 7 of the fleet is missing']);
  });

  it('names what is missing, was made anew, or is there twice', () => {
    const links = chain(9);
    const [first, second, third] = links as [(typeof links)[0], (typeof links)[0], (typeof links)[0]];
    expect(breaksOf([first, third])).toEqual(['missing: a file: checkpoint 2 of the fleet is missing']);
    expect(breaksOf([first, ...links.slice(5)])).toEqual([
      'missing: a file: checkpoints 2 to 5 of the fleet are missing',
    ]);
    const anew = { ...second.checkpoint, time: 1 };
    const forged = { checkpoint: anew, note: signFleetCheckpoint(anew, key) };
    expect(breaksOf([first, forged, third])).toEqual([
      'wrong: a file: checkpoint 3 of the fleet does not follow on the one before it',
    ]);
    expect(breaksOf([...links, { ...forged, place: 'elsewhere' }])).toEqual([
      'wrong: elsewhere: checkpoint 2 of the fleet is another one than in a file',
    ]);
    const unfirst = { ...first.checkpoint, previous: hash('x') };
    expect(breaksOf([{ checkpoint: unfirst, note: signFleetCheckpoint(unfirst, key) }])).toEqual([
      'wrong: a file: checkpoint 1 of the fleet does not follow on the one before it',
    ]);
  });

  it('names newest ones that the database does not have', () => {
    const links = chain(6);
    const own = links.slice(0, 4).map((link) => ({ ...link, place: 'the database' }));
    expect(breaksOf([...own, ...links], 'the database')).toEqual([
      'missing: the database: checkpoints 5 to 6 of the fleet are missing',
    ]);
  });
});
