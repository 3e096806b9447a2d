/**
 * P5: nothing true is called false, whatever lives a log has had: kills, retention, erasures, new keys, and no call that ended well in
 * between.
 *
 *     VERDICT_TEST_HISTORIES=500    # lives, each verified at its end
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { SqliteAuditLog } from '../../../src/audit/sqlite/sqlite-audit-log.js';
import { exportProvenLog, verifyExportFile, verifyLog } from '../../../src/cli/sources/verified-log.js';
import {
  digestOfPerson,
  type ErasureOrder,
  StandingOrders,
} from '../../../src/decision-log/erasure/standing-orders.js';
import type { CertifiedKey } from '../../../src/decision-log/proof/log-keys.js';
import { signNote } from '../../../src/decision-log/proof/signed-note.js';
import { rewrapJournal } from '../../../src/decision-log/sqlite/rotate-keys.js';
import { EncryptionKeys } from '../../../src/encryption/encryption-keys.js';
import { FleetCheckpoints } from '../../../src/fleet/checkpoints/fleet-checkpoints.js';
import { LogSink } from '../../../src/fleet/checkpoints/log-sink.js';
import { SqliteCheckpointStore } from '../../../src/fleet/checkpoints/sqlite/sqlite-checkpoint-store.js';
import { auditOptions } from '../../audit/audit-log-suite.js';
import { append } from '../many-records.js';
import { startLog, temporaryDirectory } from '../temporary-log.js';

const lives = Number(process.env.VERDICT_TEST_HISTORIES ?? 6);
const day = 86_400_000;

function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
}

const newFleetKey = (): string =>
  String(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));
const erasureKey = Buffer.alloc(32, 7);

afterEach(() => {
  delete process.env.VERDICT_ENCRYPTION_KEY;
});

describe.each([
  ['in clear', false],
  ['encrypted', true],
])('a log %s', (_how, isEncrypted) => {
  it(
    'has nothing that is called wrong or missing after random lives',
    async () => {
      const random = generator(isEncrypted ? 17 : 11);
      const directory = temporaryDirectory();
      const copies = temporaryDirectory();
      const database = join(directory, 'verdict.sqlite');
      let fleetKeys = [newFleetKey()];
      let secrets = [randomBytes(32).toString('base64')];
      /** The public key of the first of the fleet's: it is all that an auditor kept. */
      let keys: readonly CertifiedKey[] | undefined;
      const notes: string[] = [];
      const orders: ErasureOrder[] = [];
      /** Events of long ago, which the next retention removes. */
      let past = 0;
      for (let life = 0; life < lives; life++) {
        if (random(5) === 0) fleetKeys = [newFleetKey(), fleetKeys[0]!];
        if (isEncrypted && random(4) === 0) {
          secrets = [randomBytes(32).toString('base64'), ...secrets];
          const rotated = EncryptionKeys.of(secrets.join(' '));
          if (random(2) === 0 && life > 0) await rewrapJournal(join(directory, 'verdict.decisions.sqlite'), rotated);
        }
        if (isEncrypted) process.env.VERDICT_ENCRYPTION_KEY = secrets.join(' ');
        const encryption = isEncrypted ? EncryptionKeys.of(secrets.join(' ')) : undefined;
        const log = await startLog(directory, {
          limits: { records: 20 + random(60) },
          ...(random(2) === 0 && { retention: { maxRecords: 40 + random(100) } }),
          mode: random(3) === 0 ? 'async' : 'sync',
          queueLimit: 30,
          fleetKeys: fleetKeys.join('\n'),
          encryption,
        });
        keys ??= log.publishedKeys.filter(({ key }) => key.startsWith('verdict-fleet+'));
        expect(keys).toHaveLength(1);
        const audit = await SqliteAuditLog.open({ ...auditOptions(), path: database, maxAgeMs: day });
        audit.signWith((text) => log.fleetSigner && signNote(text, [log.fleetSigner]));
        const store = await SqliteCheckpointStore.open(database);
        const fleet = new FleetCheckpoints({
          store,
          checkpoint: async () => void (await log.checkpoint()),
          heads: () => log.proofs.heads(),
          auditHead: () => audit.head(),
          signer: () => log.fleetSigner,
          sinks: [new LogSink(({ note }) => void notes.push(note))],
          onProblem: (what, error) => {
            throw new Error(what, { cause: error });
          },
        });
        let hasErased = false;
        for (let i = random(12); i >= 0; i--) {
          const count = 1 + random(40);
          await append(log, count, (j) => ({ subject: `s${j % 9}`, now: Date.now() })).catch(() => undefined);
          for (let events = random(4); events > 0; events--) {
            const isPast = random(3) === 0;
            await audit.record({ type: 'api_key_created', actor: `a${i}` }, Date.now() - (isPast ? 2 * day : 0));
          }
          audit.note({ type: 'decisions_read', actor: 'noted' });
          if (random(4) === 0) await log.checkpoint();
          if (random(4) === 0) await log.prune(Date.now());
          if (random(4) === 0) await fleet.make();
          if (random(6) === 0) {
            await audit.prune(Date.now() + past);
            past += random(3) === 0 ? day : 0;
          }
          if (random(8) === 0) {
            // As long as that takes, decisions go on.
            const order = {
              id: `e-${orders.length}`,
              time: Date.now(),
              digest: digestOfPerson(erasureKey, `s${random(9)}`),
            };
            orders.push(order);
            const erasing = log.erase(
              { standing: new StandingOrders(erasureKey, orders) },
              new AbortController().signal,
            );
            await append(log, 5, () => ({ now: Date.now() })).catch(() => undefined);
            await erasing;
            hasErased = true;
          }
        }
        await log.flush();
        await audit.search({});
        const isKilled = random(2) === 0;
        // What a kill leaves is what lies there now; the next life goes on with the copy.
        if (isKilled) {
          rmSync(copies, { recursive: true });
          cpSync(directory, copies, { recursive: true });
        } else await fleet.make();
        await store.close();
        await audit.close();
        await log.stop();
        if (isKilled) {
          rmSync(directory, { recursive: true });
          cpSync(copies, directory, { recursive: true });
        }
        const against = notes.slice(-20).map((note) => ({ note, place: 'kept' }));
        const report = await verifyLog({ database, keys, against, depth: 'content' });
        const findings = report.findings.filter(({ place }) => place !== 'the archive of versions');
        expect(findings, `life ${life}${isKilled ? ', killed' : ''}${hasErased ? ', erased' : ''}`).toEqual([]);
        if (life % 4 > 0) continue;
        let text = '';
        await exportProvenLog(database, random(2) === 0 ? {} : { subject: 's3' }, async (piece) => {
          text += piece;
        });
        const file = join(copies, 'export.ndjson');
        writeFileSync(file, text);
        expect((await verifyExportFile({ file, keys, against: [] })).findings, `export of life ${life}`).toEqual([]);
      }
      expect(notes.length).toBeGreaterThan(lives / 4);
      expect(orders.length).toBeGreaterThan(lives / 8);
    },
    60_000 + lives * 20_000,
  );
});
