// Appends as fast as it can and prints the id of each acknowledged record, until it is killed.
import { setImmediate } from 'node:timers/promises';
import { SqliteDecisionLog } from '../../../dist/decision-log/sqlite/sqlite-decision-log.js';
import { EncryptionKeys } from '../../../dist/encryption/encryption-keys.js';

const [databasePath, mode, concurrency, limits = '{}', key = ''] = process.argv.slice(2);
const encryption = key === '' ? undefined : EncryptionKeys.of(key);
const log = new SqliteDecisionLog({ databasePath, mode, limits: JSON.parse(limits), encryption });
await log.start();
const text = {
  policySet: 's',
  policyVersion: 'sha256:0',
  engineVersion: '1',
  caller: 'c',
  authentication: 'none',
  via: 'decide',
  requestId: 'r',
};
for (let i = 0; i < Number(concurrency); i++) {
  void (async () => {
    for (;;) {
      const now = Date.now();
      const record = {
        ...text,
        id: log.nextId(now),
        time: now,
        request: { subject: { id: `user-${i}` }, action: { name: 'read' }, resource: { id: 'x'.repeat(200) } },
        clock: now,
        decision: 'deny',
        reason: { code: 'no_matching_rule' },
        errors: [],
        obligations: [],
        durationUs: 1,
      };
      await log.append(record);
      process.stdout.write(`${record.id}\n`);
      // Mode async resolves at once; the pipe needs its turn too.
      if (mode === 'async') await setImmediate();
    }
  })();
}
