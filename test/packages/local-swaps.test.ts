/**
 * `@verdict/client/local` while its set is replaced again and again: each answer is right for the version that it names, and none is
 * older than it may be. `VERDICT_TEST_SWAPS=500` for longer.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { VerdictClient } from '../../packages/client/src/client.js';
import { LocalVerdict, type LocalWarning } from '../../packages/client/src/local/local-verdict.js';
import { type BuiltService, startBuiltService } from '../authzen/built-service.js';
import { localScopes, localSets } from './local-sets.js';

const swaps = Number(process.env.VERDICT_TEST_SWAPS ?? 60);
const bounds = [1_000, 1_000, 4_000, 30_000];
let service: BuiltService;
beforeAll(async () => {
  service = await startBuiltService(localSets, {}, localScopes);
});
afterAll(() => service.stop());

interface Made {
  readonly by: string;
  readonly subject: number;
  readonly isAllowed: boolean;
  /** By the monotonic clock, in milliseconds. */
  readonly at: number;
  readonly boundMs: number;
}

it(`${swaps} versions, four clients under load`, { timeout: 60_000 + swaps * 1_000 }, async () => {
  const { url: baseUrl, token: apiKey } = service;
  const writer = new VerdictClient({ baseUrl, apiKey, timeoutMs: 60_000 });
  const warnings: LocalWarning[] = [];
  const onWarning = (warning: LocalWarning) => warnings.push(warning);
  const clients = await Promise.all(
    bounds.map(async (boundMs) => {
      const options = { baseUrl, apiKey, policySets: ['desk'], maxStalenessMs: boundMs, onWarning };
      return { boundMs, verdict: await LocalVerdict.open(options) };
    }),
  );
  /** Who may edit by each version, and when the next one was in force at the latest. */
  const editors = new Map<string, { readonly subject: number; replacedAt: number }>();
  const made: Made[] = [];
  let [current, isOver, unanswered] = [0, false, 0];

  const asking = clients.map(async ({ verdict, boundMs }) => {
    while (!isOver) {
      for (const subject of [current - 1, current, current + 1]) {
        const question = { subject: { type: 'user', id: `s${subject}` }, action: 'edit', resource: 'article' };
        const at = performance.now();
        const { allowed, policyVersion: by } = verdict.decide(question, { onUnavailable: 'deny' });
        if (by === undefined) unanswered++;
        else made.push({ by, subject, isAllowed: allowed, at, boundMs });
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  });
  let before: string | undefined;
  for (let subject = 1; subject <= swaps; subject++) {
    const role = (of: number) => [['g', `user:s${of}`, 'editor']];
    const remove = subject === 1 ? {} : { remove: { roles: role(subject - 1) } };
    const { version } = await writer.changeData('desk', { add: { roles: role(subject) }, ...remove });
    if (before !== undefined) editors.get(before)!.replacedAt = performance.now();
    editors.set(version, { subject, replacedAt: Number.POSITIVE_INFINITY });
    [before, current] = [version, subject];
  }
  await expect.poll(() => clients.map(({ verdict }) => verdict.version()!.version)).toEqual(bounds.map(() => before));
  isOver = true;
  await Promise.all(asking);

  expect(editors.size).toBe(swaps);
  const ofVersions = made.filter(({ by }) => editors.has(by));
  // The others were made before the first change.
  expect(new Set(made.map(({ by }) => by)).size - new Set(ofVersions.map(({ by }) => by)).size).toBeLessThanOrEqual(1);
  const wrong = ofVersions.filter(({ by, subject, isAllowed }) => isAllowed !== (editors.get(by)!.subject === subject));
  expect(wrong).toEqual([]);
  const old = ofVersions.filter(({ by, at, boundMs }) => at - editors.get(by)!.replacedAt > boundMs);
  expect(old).toEqual([]);
  // Versions that were replaced at once were perhaps never seen; many were.
  expect(new Set(ofVersions.map(({ by }) => by)).size).toBeGreaterThan(Math.min(10, swaps / 4));
  expect(unanswered).toBeLessThan(made.length);
  await Promise.all(clients.map(({ verdict }) => verdict.close()));
  // None of them was decided otherwise by the service, or refused.
  // That the service is slow for a moment, on a busy machine, is none of it.
  expect(warnings.filter(({ kind }) => kind !== 'unreachable')).toEqual([]);
  expect(clients.map(({ verdict }) => verdict.unsent)).toEqual(bounds.map(() => 0));
});
