/**
 * A rule among hundreds is changed, which a handful of the decisions of a log depended on: a simulation finds each of them, and
 * names the rule. `npm run proofs -- simulation` does so with a million records.
 */
import { expect, it, onTestFinished } from 'vitest';
import { currentSemantics } from '../../../src/core/semantics.js';
import { compilePolicySet } from '../../../src/engine.js';
import { portionsOfGroups } from '../../../src/pdp/simulation/portions.js';
import { resultOf } from '../../../src/pdp/simulation/simulation-result.js';
import { runSimulation } from '../../../src/pdp/simulation/simulation-run.js';
import { versionOf } from '../../../src/policy-store/policy-set-files.js';
import { exampleRecord, noon } from '../../decision-log/example-records.js';
import { startLog, temporaryDirectory } from '../../decision-log/temporary-log.js';
import { roleModel } from '../../models.js';

const records = Number(process.env.VERDICT_TEST_SIMULATED_RECORDS ?? 100_000);
const planted = 17;

const rules = [
  ...Array.from({ length: 500 }, (_, n) => `p, role${n % 50}, data${n}, read`),
  ...Array.from({ length: 200 }, (_, n) => `g, user${n}, role${n % 50}`),
];
const filesOf = (lines: readonly string[]) =>
  Object.freeze([
    { path: 'model.conf', bytes: Buffer.from(roleModel) },
    { path: 'rules.csv', bytes: Buffer.from(`${lines.join('\n')}\n`) },
  ]);

it(`finds what a changed rule does to ${planted} of ${records} decisions`, { timeout: 3_600_000 }, async () => {
  const before = filesOf(rules);
  // Who has role7 reads no data307 any more, and may write it.
  const after = filesOf(rules.with(307, 'p, role7, data307, write'));
  const set = compilePolicySet({ model: roleModel, rules: [{ file: 'rules.csv', text: `${rules.join('\n')}\n` }] });
  expect(set.version).toBe(versionOf(before));
  const log = await startLog(temporaryDirectory());
  onTestFinished(() => log.stop());
  const dates = Array.from({ length: planted }, (_, n) => Math.floor(((n + 0.5) * records) / planted));
  const isPlanted = new Set(dates);
  const ids: string[] = [];
  for (let n = 0; n < records; n += 4_096) {
    const group = Array.from({ length: Math.min(4_096, records - n) }, (_, i) => {
      const at = n + i;
      const data = isPlanted.has(at) ? 307 : at % 307;
      const user = isPlanted.has(at) ? 57 : at % 200;
      const request = {
        subject: { type: 'user', id: `user${user}` },
        action: { name: 'read' },
        resource: { type: 'data', id: `data${data}`, attributes: { request: at % 5_000 } },
      };
      const answer = set.decide(request, { now: noon });
      const record = { ...exampleRecord(log, { policySet: 'set' }), ...answer, request };
      if (isPlanted.has(at)) ids.push(record.id);
      return { ...record, policyVersion: set.version, semantics: currentSemantics };
    });
    await Promise.all(group.map((record) => log.append(record)));
  }
  const source = {
    portions: () => portionsOfGroups(log.groups({ policySet: 'set' }, 0)),
    version: async () => ({ files: before }),
  };
  const run = await runSimulation(source, {
    policySet: 'set',
    candidate: { files: after },
    from: undefined,
    to: undefined,
    filter: undefined,
    threads: 2,
    memoryMb: 512,
    signal: new AbortController().signal,
  });
  const result = resultOf(run, { policySet: 'set', candidate: versionOf(after) });
  expect(result).toMatchObject({ complete: true, answered: records, changed: planted, gained: 0, lost: planted });
  expect(result.rules).toEqual([
    {
      kind: 'loss',
      before: {
        decision: 'allow',
        code: 'rule_allowed',
        rule: ['p', 'role7', 'data307', 'read'],
        file: 'rules.csv',
        line: 308,
      },
      after: { decision: 'deny', code: 'no_matching_rule' },
      count: planted,
      examples: ids.toSorted().reverse().slice(0, 3),
    },
  ]);
  expect(result.access).toMatchObject([
    { subject: { id: 'user57' }, action: 'read', resource: { id: 'data307' }, count: planted },
  ]);
});
