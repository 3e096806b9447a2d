/** What the checkpoints of the fleet promise, wherever they are stored. */
import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { signCheckpoint } from '../../../src/decision-log/proof/checkpoint.js';
import {
  beforeFirst,
  hashOfFleetCheckpoint,
  openFleetCheckpoint,
} from '../../../src/decision-log/proof/fleet-checkpoint.js';
import { sha256Of } from '../../../src/decision-log/proof/merkle-tree.js';
import { noteSigner } from '../../../src/decision-log/proof/signed-note.js';
import type { StoredCheckpoint } from '../../../src/decision-log/proof/stored-checkpoint.js';
import { CheckpointSink } from '../../../src/fleet/checkpoints/checkpoint-sink.js';
import type { CheckpointStore, StoredFleetCheckpoint } from '../../../src/fleet/checkpoints/checkpoint-store.js';
import { FleetCheckpoints, type FleetCheckpointsOptions } from '../../../src/fleet/checkpoints/fleet-checkpoints.js';

const fleetKey = noteSigner('verdict-fleet', generateKeyPairSync('ed25519').privateKey);
const replicaKey = noteSigner('verdict-replica', generateKeyPairSync('ed25519').privateKey);

function head(tree: string, entries: number): StoredCheckpoint {
  const time = Date.UTC(2026, 0, 1);
  const root = sha256Of(Buffer.from(`${tree} ${entries}`));
  const checkpoint = { tree: tree.repeat(32), size: entries, root, sequence: entries * 2, time, isAnchor: false };
  return {
    tree: checkpoint.tree,
    entries,
    sequence: entries * 2,
    time,
    note: signCheckpoint(checkpoint, replicaKey),
  };
}

class MemorySink extends CheckpointSink {
  readonly name = 'memory';
  readonly place = 'memory';
  readonly got: StoredFleetCheckpoint[] = [];
  isAway = false;

  async send(checkpoint: StoredFleetCheckpoint): Promise<void> {
    if (this.isAway) throw new Error('away');
    this.got.push(checkpoint);
  }
}

export function describeFleetCheckpoints(
  database: string,
  openHome: () => { readonly open: () => Promise<CheckpointStore>; readonly isShared: boolean },
): void {
  describe(`the checkpoints of the fleet in ${database}`, () => {
    async function start(
      store: CheckpointStore,
      sink: MemorySink,
      options: Partial<FleetCheckpointsOptions> = {},
    ): Promise<FleetCheckpoints> {
      const checkpoints = new FleetCheckpoints({
        store,
        checkpoint: async () => undefined,
        heads: async () => [head('b', 3), head('a', 7)],
        auditHead: async () => ({ events: 5, link: sha256Of(Buffer.from('5')) }),
        signer: () => fleetKey,
        sinks: [sink],
        onProblem: () => undefined,
        everyMs: 60_000,
        lookMs: 5,
        ...options,
      });
      checkpoints.start();
      return checkpoints;
    }

    it('name the heads of all trees and the note before them, under the key of the fleet', async () => {
      const sink = new MemorySink();
      const checkpoints = await start(await openHome().open(), sink, { everyMs: 0 });
      await expect.poll(() => sink.got.length).toBeGreaterThan(3);
      await checkpoints.stop();
      const read = sink.got.map(({ note }) => openFleetCheckpoint(note, [fleetKey])!);
      expect(read.map(({ number }) => number)).toEqual(read.map((_, i) => i + 1));
      expect(read[0]!.heads.map(({ tree, size, sequence }) => [tree[0], size, sequence])).toEqual([
        ['a', 7, 14],
        ['b', 3, 6],
      ]);
      expect(read[0]!.audit).toEqual({ events: 5, link: sha256Of(Buffer.from('5')) });
      expect(read.map(({ previous }) => previous)).toEqual([
        beforeFirst,
        ...sink.got.slice(0, -1).map(({ note }) => hashOfFleetCheckpoint(note)),
      ]);
    });

    it('are one a minute, and one more at the end', async () => {
      const sink = new MemorySink();
      const checkpoints = await start(await openHome().open(), sink);
      await expect.poll(() => sink.got.length).toBe(1);
      for (let looks = 0; looks < 20; looks++) await new Promise((resolve) => setImmediate(resolve));
      expect(checkpoints.status.newest?.number).toBe(1);
      await checkpoints.stop();
      expect(sink.got.map(({ number }) => number)).toEqual([1, 2]);
    });

    it('are all sent to a sink that was away, in order, and it is said meanwhile', async () => {
      const sink = new MemorySink();
      sink.isAway = true;
      const problems: string[] = [];
      const checkpoints = await start(await openHome().open(), sink, {
        everyMs: 0,
        onProblem: (what) => problems.push(what),
      });
      await expect.poll(() => checkpoints.status.newest?.number ?? 0).toBeGreaterThan(5);
      expect(checkpoints.status.sinks[0]).toMatchObject({ name: 'memory', problem: 'away' });
      expect(checkpoints.status.sinks[0]!.due).toBeGreaterThan(4);
      expect(checkpoints.status.sinks[0]!.failures).toBeGreaterThan(0);
      expect(problems).toHaveLength(1);
      sink.isAway = false;
      await checkpoints.stop();
      expect(sink.got.map(({ number }) => number)).toEqual(sink.got.map((_, i) => i + 1));
      expect(sink.got.length).toBeGreaterThan(5);
    });

    it('go on after a kill where the one before was stored, and its sinks get what they do not have', async () => {
      const home = openHome();
      const sink = new MemorySink();
      sink.isAway = true;
      const store = await home.open();
      await store.lead(1);
      // Killed between storing the second one and sending it.
      const first = await start(store, sink, { everyMs: 0 });
      await expect.poll(() => first.status.newest?.number ?? 0).toBeGreaterThan(1);
      await first.stop();
      sink.isAway = false;
      const second = await start(await home.open(), sink);
      await second.make();
      await second.stop();
      expect(sink.got.map(({ number }) => number)).toEqual(sink.got.map((_, i) => i + 1));
      const hashes = sink.got.map(({ note }) => hashOfFleetCheckpoint(note));
      for (const [i, { note }] of sink.got.slice(1).entries())
        expect(openFleetCheckpoint(note, [fleetKey])!.previous).toEqual(hashes[i]);
    });

    it('are made by one of several replicas, and by another when that one ends', async () => {
      const home = openHome();
      if (!home.isShared) return;
      const sinks = [new MemorySink(), new MemorySink(), new MemorySink()];
      const replicas: FleetCheckpoints[] = [];
      for (const sink of sinks) replicas.push(await start(await home.open(), sink, { everyMs: 0 }));
      onTestFinished(async () => void (await Promise.all(replicas.map((replica) => replica.stop()))));
      const leading = () => replicas.filter(({ status }) => status.leads);
      await expect.poll(() => leading().length).toBe(1);
      await expect.poll(() => sinks.flatMap(({ got }) => got).length).toBeGreaterThan(5);
      expect(sinks.filter(({ got }) => got.length > 0)).toHaveLength(1);
      const [first] = leading();
      await first!.stop();
      await expect.poll(() => leading().filter((each) => each !== first).length).toBe(1);
      const later = sinks.filter((_, i) => replicas[i] !== first);
      await expect.poll(() => later.flatMap(({ got }) => got).length).toBeGreaterThan(2);
      const all = sinks.flatMap(({ got }) => got).sort((a, b) => a.number - b.number);
      expect(new Set(all.map(({ number }) => number)).size).toBe(all.length);
      expect(all.map(({ number }) => number)).toEqual(all.map((_, i) => i + 1));
    });

    it('take no number twice', async () => {
      const home = openHome();
      const store = await home.open();
      onTestFinished(() => store.close());
      await store.add({ number: 1, time: 0, note: 'x' });
      await expect(store.add({ number: 1, time: 0, note: 'y' })).rejects.toThrow();
      await store.markSent('file', 5);
      await store.markSent('file', 3);
      expect(await store.sentTo('file')).toBe(5);
      await store.deleteTo(1);
      expect(await store.newest()).toBeUndefined();
    });
  });
}
