/** docs/audit.md is true: its commands run on a log of the days that it tells of, and print what it shows. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, it } from 'vitest';
import { SqliteAuditLog } from '../src/audit/sqlite/sqlite-audit-log.js';
import { SqliteManagedKeys } from '../src/auth/sqlite/sqlite-managed-keys.js';
import { engineVersion } from '../src/core/engine/engine-version.js';
import { currentSemantics } from '../src/core/semantics.js';
import { SqliteDecisionLog } from '../src/decision-log/sqlite/sqlite-decision-log.js';
import { SqlitePolicyArchive } from '../src/policy-store/archive/sqlite/sqlite-policy-archive.js';
import { loadPolicySet } from '../src/policy-store/load-policy-set.js';
import { verdict } from './cli/run.js';
import { temporaryDirectory } from './policy-store/folders.js';

const page = readFileSync(fileURLToPath(new URL('../docs/audit.md', import.meta.url)), 'utf8');
const blocks = [...page.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language, text]) => ({
  language,
  text: text!,
}));
/** Each command with the text block behind it. */
const commands = blocks.flatMap(({ language, text }, i) => {
  const next = blocks[i + 1];
  return language === 'sh' ? [{ command: text.trim(), shown: next?.language === 'text' ? next.text : undefined }] : [];
});

const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = role, type, act, condition
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.role) && r.obj.type == p.type && r.act == p.act && eval(p.condition)
`;
const rules = `p, clerk, invoice, approve, r.obj.amount <= 10000
p, controller, invoice, approve, true
`;
const setWith = (roles: string, manager: string) =>
  Object.entries({
    'model.conf': model,
    'rules.csv': rules + roles,
    'entities.yaml': [
      '- {type: user, id: ann, attributes: {department: finance}}',
      `- {type: user, id: dana, attributes: {department: ${manager}, salary: 9000}}`,
      '- {type: user, id: eve, attributes: {department: finance}}',
    ].join('\n'),
    'policy-set.yaml': 'decisionLog: { mask: [/subject/attributes/salary] }\n',
  }).map(([path, text]) => ({ path, bytes: Buffer.from(text) }));

const folder = temporaryDirectory();

beforeAll(async () => {
  mkdirSync(join(folder, 'data'));
  const databasePath = join(folder, 'data/verdict.sqlite');
  const archive = await SqlitePolicyArchive.open(databasePath);
  const log = new SqliteDecisionLog({ databasePath, mode: 'sync' });
  await log.start();
  const serve = async (day: string, files: ReturnType<typeof setWith>) => {
    const set = { name: 'invoices', files };
    const { served } = await loadPolicySet(set);
    await archive.keep(set, Date.parse(day));
    await archive.setState({ name: 'invoices', version: served.version }, Date.parse(day));
    return served;
  };
  const inWinter = await serve('2026-02-02T08:00:00Z', setWith('g, ann, clerk\ng, dana, controller\n', 'finance'));
  const inSpring = await serve('2026-03-09T08:00:00Z', setWith('g, ann, clerk\ng, eve, controller\n', 'sales'));
  const ask = async (served: typeof inWinter, time: string, subject: string, resource: string, amount: number) => {
    const now = Date.parse(time);
    const request = {
      subject: { type: 'user', id: subject },
      action: { name: 'approve' },
      resource: { type: 'invoice', id: resource, attributes: { amount } },
    };
    const { decision, reason, errors, obligations } = await served.evaluate(request, { now, explain: 'brief' });
    await log.append({
      id: log.nextId(now),
      time: now,
      policySet: 'invoices',
      policyVersion: served.version,
      engineVersion,
      semantics: currentSemantics,
      request: served.mask(request),
      clock: now,
      decision,
      reason,
      errors,
      obligations,
      caller: 'billing',
      authentication: 'api_key',
      via: 'decide',
      requestId: `r-${resource}`,
      durationUs: 40,
    });
  };
  await ask(inWinter, '2026-03-03T09:12:00Z', 'dana', 'F-2041', 18_200);
  await ask(inWinter, '2026-03-03T10:40:00Z', 'ann', 'F-2042', 14_000);
  await ask(inWinter, '2026-03-03T11:05:00Z', 'ann', 'F-2043', 700);
  await ask(inSpring, '2026-03-10T09:00:00Z', 'dana', 'F-2050', 20_000);
  await ask(inSpring, '2026-03-10T09:30:00Z', 'eve', 'F-2050', 20_000);
  await log.stop();
  await archive.close();
  const audit = await SqliteAuditLog.open({ path: databasePath, mask: (text) => text, onProblem: () => undefined });
  const made = {
    type: 'api_key_created',
    actor: 'it',
    method: 'command_line',
    detail: 'till-7: decide, for dana',
  } as const;
  await audit.record(made, Date.parse('2026-02-02T08:00:00Z'));
  await audit.close();
  const keys = await SqliteManagedKeys.open(databasePath);
  await keys.create(
    { name: 'till-7', owner: 'dana', scopes: ['decide'] },
    'live',
    'it',
    Date.parse('2026-02-02T08:00:00Z'),
  );
  await keys.close();
});

it('has the commands of a walk', () => {
  expect(commands.length).toBeGreaterThan(4);
  expect(commands.filter(({ shown }) => shown !== undefined).length).toBeGreaterThan(4);
});

/** What differs from run to run: ids and versions. */
const settled = (text: string) =>
  text
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g, '<id>')
    .replace(/sha256:[0-9a-f]{12,64}/g, 'sha256:…')
    // The page shows how the lines of an export begin.
    .replace(/^(\{"kind":.{90}).+$/gm, '$1…')
    .replace(/ +$/gm, '')
    .trimEnd();

it.each(commands.filter(({ shown }) => shown !== undefined))('$command prints what the page shows', async (each) => {
  const args = [...each.command.replaceAll('\\\n', ' ').matchAll(/"([^"]*)"|(\S+)/g)].map(
    ([, quoted, plain]) => quoted ?? plain!,
  );
  expect(args.shift()).toBe('verdict');
  const ran = await verdict(args, { cwd: folder });
  expect(settled(ran.stderr + ran.stdout)).toBe(settled(each.shown!));
});
