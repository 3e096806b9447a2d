/** P5: proofs that the log gives are verified by what the documentation says, with public keys alone. Run for each kind of log. */
import { once } from 'node:events';
import { text as readText } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import type { DecisionLog } from '../../../src/decision-log/decision-log.js';
import type { DecisionRecord } from '../../../src/decision-log/decision-record.js';
import { openCheckpoint } from '../../../src/decision-log/proof/checkpoint.js';
import type { DecisionProof } from '../../../src/decision-log/proof/decision-proofs.js';
import { entryOfGroup, leafHash, rootOfGroupPath } from '../../../src/decision-log/proof/group-hashes.js';
import { trustedKeys } from '../../../src/decision-log/proof/log-keys.js';
import { LogVerification } from '../../../src/decision-log/proof/log-verification.js';
import { isConsistent, rootOfInclusion, type TreeHash } from '../../../src/decision-log/proof/merkle-tree.js';
import type { ProofSink, ReadOptions } from '../../../src/decision-log/proof/proof-sink.js';
import { pageOfCheckpoints, proveConsistency, proveDecision } from '../../../src/decision-log/proof/prove.js';
import { provenExportStream, verifyExport } from '../../../src/decision-log/proof/proven-export.js';
import type { NoteKey } from '../../../src/decision-log/proof/signed-note.js';
import { readFilter } from '../../../src/decision-log/record-filter.js';
import { wholeText } from '../../../src/decision-log/record-texts.js';
import { append, everything } from '../many-records.js';

export interface ProofHome {
  start(): Promise<DecisionLog>;
  /** Signs all that is committed, and has it where proofs are read from. */
  checkpoint(log: DecisionLog): Promise<void>;
}

const base64 = (text: string): Buffer => Buffer.from(text, 'base64');
const hashesIn = (text: string): TreeHash[] => {
  const bytes = base64(text);
  return Array.from({ length: bytes.length / 32 }, (_, i) => bytes.subarray(32 * i, 32 * i + 32));
};

/** What an auditor does with a record and its proof. */
export function isProved(record: DecisionRecord, proof: DecisionProof, keys: readonly NoteKey[]): boolean {
  const checkpoint = openCheckpoint(proof.checkpoint, keys);
  if (checkpoint === undefined || proof.salt === undefined) return false;
  const { first, count, path } = proof.group;
  const leaf = leafHash(record.sequence, wholeText(record), base64(proof.salt));
  const root = rootOfGroupPath(leaf, record.sequence - first, path.map(hashesIn));
  const entry = entryOfGroup(first, count, root);
  return rootOfInclusion(entry, proof.entry, checkpoint.size, hashesIn(proof.path))?.equals(checkpoint.root) ?? false;
}

export function proofsSuite(home: ProofHome): void {
  it('proves each record in 2 KB, and no other', async () => {
    const log = await home.start();
    await append(log, 200, (i) => ({ now: Date.now(), subject: `s${i}` }));
    for (let i = 0; i < 70; i++) await append(log, 1, () => ({ now: Date.now(), subject: `t${i}` }));
    await home.checkpoint(log);
    const keys = trustedKeys(await log.proofs.keys());
    const records = await everything(log);
    expect(records).toHaveLength(270);
    for (let i = 0; i < records.length; i += 9) {
      const record = records[i]!;
      const proof = await proveDecision(log, record.id);
      expect(isProved(record, proof, keys)).toBe(true);
      expect(JSON.stringify(proof).length).toBeLessThanOrEqual(2_048);
      const other = records[(i + 1) % records.length]!;
      expect(isProved({ ...record, decision: 'deny' }, proof, keys)).toBe(false);
      expect(isProved({ ...other, sequence: record.sequence }, proof, keys)).toBe(false);
      expect(isProved({ ...record, sequence: other.sequence }, proof, keys)).toBe(false);
    }
    expect(isProved(records[0]!, await proveDecision(log, records[0]!.id), [])).toBe(false);
  });

  it('proves that each checkpoint grew out of the ones before it', async () => {
    const log = await home.start();
    for (let i = 0; i < 6; i++) {
      await append(log, 1 + 13 * i, () => ({ now: Date.now() }));
      await home.checkpoint(log);
    }
    const keys = trustedKeys(await log.proofs.keys());
    const { items } = await pageOfCheckpoints(log.proofs, { limit: 100 });
    expect(items.length).toBeGreaterThanOrEqual(6);
    const [newest] = items;
    for (const { tree, entries, note } of items) {
      const proof = await proveConsistency(log.proofs, entries, newest!.entries, tree);
      const [from, to] = [openCheckpoint(note, keys)!, openCheckpoint(newest!.note, keys)!];
      expect(isConsistent(from, to, hashesIn(proof.path))).toBe(true);
    }
    const paged: string[] = [];
    for (let cursor: string | undefined; ; ) {
      const page = await pageOfCheckpoints(log.proofs, { limit: 2, cursor });
      paged.push(...page.items.map(({ note }) => note));
      cursor = page.nextCursor;
      if (cursor === undefined) break;
    }
    expect(paged).toEqual(items.map(({ note }) => note));
  });

  it('says what it cannot prove', async () => {
    const log = await home.start();
    await append(log, 3, () => ({ now: Date.now() }));
    await home.checkpoint(log);
    await append(log, 1, () => ({ now: Date.now() }));
    const [newest] = await everything(log);
    await expect(proveDecision(log, newest!.id)).rejects.toMatchObject({ code: 'proof_pending' });
    await expect(proveDecision(log, '0199c2f6-3d41-7003-8a41-90b7c3d9e211')).rejects.toMatchObject({
      code: 'decision_not_found',
    });
    const { proofs } = log;
    await expect(proveConsistency(proofs, 2, 1, undefined)).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(proveConsistency(proofs, 0, 99, undefined)).rejects.toMatchObject({ code: 'invalid_request' });
    await expect(proveConsistency(proofs, 0, 1, 'f'.repeat(32))).rejects.toMatchObject({ code: 'no_proof' });
    await expect(pageOfCheckpoints(proofs, { limit: 1, cursor: 'x' })).rejects.toMatchObject({
      code: 'invalid_request',
    });
  });

  it('are exported as a stream, which goes on when its reader does, and ends with it', async () => {
    const log = await home.start();
    await append(log, 900, (i) => ({ now: Date.now(), subject: `s${i % 3}`, attributes: { text: 'x'.repeat(400) } }));
    await home.checkpoint(log);
    const keys = await log.proofs.keys();
    for (const query of [{}, { subject: 's1' }]) {
      const text = await readText(provenExportStream(await log.proofs.records(), readFilter(query, {})));
      async function* lines() {
        yield* text.trimEnd().split('\n');
      }
      const begin = () => new LogVerification({ keys: trustedKeys(keys), depth: 'content' });
      const { report } = await verifyExport(lines(), begin);
      expect(report).toMatchObject({ records: 900, unsigned: 0, findings: [] });
      expect(text.match(/"salt"/g)).toHaveLength(query.subject === undefined ? 900 : 300);
    }
    const { read } = await log.proofs.records();
    let groups = 0;
    const counted = (sink: ProofSink): ProofSink =>
      new Proxy(sink, {
        get: (target, name) => {
          if (name === 'group') groups++;
          const value = Reflect.get(target, name);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    const records = {
      keys: [],
      locked: undefined,
      read: (sink: ProofSink, options: ReadOptions) => read(counted(sink), options),
    };
    const unread = provenExportStream(records, readFilter({}, {}));
    await once(unread, 'readable');
    // Nobody takes what it has: it waits, with a small part of the log.
    const closed = once(unread, 'close');
    unread.destroy();
    await closed;
    expect(groups).toBeGreaterThan(0);
    expect(groups).toBeLessThan(60);
  });
}
