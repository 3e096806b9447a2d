import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { PolicyError } from '../../src/core/problem.js';
import type { DecisionRequest, Json, JsonObject } from '../../src/core/request.js';
import { loadPolicySet } from '../../src/policy-store/load-policy-set.js';
import type { ServedPolicySet } from '../../src/policy-store/served-policy-set.js';
import { CrossCheck, type CrossCheckOptions } from '../../src/stock-casbin/cross-check.js';
import { knownDifferences } from '../../src/stock-casbin/known-differences.js';
import { defaultStockCasbinLimits } from '../../src/stock-casbin/stock-casbin.js';

interface Line {
  readonly message: string;
  readonly details: { policySet?: string; request?: DecisionRequest; known?: string; obstacles?: string[] };
}

const running: CrossCheck[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((check) => check.stop()));
});

function crossCheck(options: Partial<CrossCheckOptions> = {}): { check: CrossCheck; lines: Line[] } {
  const lines: Line[] = [];
  const write = (details: object, message: string) => void lines.push({ details, message });
  const check = new CrossCheck({
    share: 1,
    log: { info: write, warn: write },
    ...options,
  });
  running.push(check);
  return { check, lines };
}

async function load(name: string, texts: Record<string, string>): Promise<ServedPolicySet> {
  const files = Object.entries(texts).map(([path, text]) => ({ path, bytes: Buffer.from(text) }));
  return (await loadPolicySet({ name, files })).served;
}

const model = (matcher: string, effect = 'some(where (p.eft == allow))') => `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, eft
[role_definition]
g = _, _
[policy_effect]
e = ${effect}
[matchers]
m = ${matcher}
`;

const rbac = {
  'model.conf': model('g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act'),
  'rules.csv': 'p, manager, invoice, approve, allow\ng, alice, manager\n',
};

async function ask(check: CrossCheck, set: ServedPolicySet, request: DecisionRequest): Promise<void> {
  const now = Date.now();
  check.observe(set, request, now, await set.evaluate(request, { now, explain: 'brief' }));
}

const request = (subject: string, attributes?: JsonObject): DecisionRequest => ({
  subject: { id: subject, ...(attributes && { attributes }) },
  action: { name: 'approve' },
  resource: { id: 'invoice' },
});

describe('the cross-check', () => {
  it('counts what stock Casbin agrees with, allow and deny', async () => {
    const { check, lines } = crossCheck();
    const set = await load('rbac', rbac);
    for (const subject of ['alice', 'bob', 'manager', '']) await ask(check, set, request(subject));
    await check.settled();
    expect(check.counts).toEqual({
      checked: 4,
      agreed: 4,
      known: {},
      unexpected: 0,
      dropped: 0,
      failed: 0,
      uncheckable: 0,
    });
    expect(lines).toEqual([]);
  });

  it('tells of a difference, with its request masked', async () => {
    const { check, lines } = crossCheck();
    const manifest = `${JSON.stringify({ decisionLog: { mask: ['/attributes/ssn'] } })}\n`;
    const set = await load('rbac', { ...rbac, 'policy-set.yaml': manifest });
    const asked = { ...request('alice'), attributes: { ssn: '078-05-1120' } };
    const decision = await set.evaluate(asked, { now: 0, explain: 'brief' });
    check.observe(set, asked, 0, { ...decision, decision: 'deny' });
    await check.settled();
    expect(check.counts).toMatchObject({ checked: 1, agreed: 0, unexpected: 1 });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      message: 'stock Casbin answers otherwise',
      details: {
        policySet: 'rbac',
        request: { subject: { id: 'alice' }, attributes: { ssn: '[masked]' } },
        stockCasbin: { allowed: true },
      },
    });
  });

  it('counts differences that are known apart, each by its code', async () => {
    const { check } = crossCheck();
    const unequal = await load('unequal', {
      'model.conf': model('r.sub.dept != "legal" && r.obj == p.obj'),
      'rules.csv': 'p, any, invoice, approve, allow\n',
    });
    await ask(check, unequal, request('alice'));
    const equal = await load('equal', {
      'model.conf': model('r.sub.level == p.sub'),
      'rules.csv': 'p, 3, invoice, approve, allow\n',
    });
    await ask(check, equal, request('alice', { level: 3 }));
    const last = await load('last', {
      'model.conf': model('r.obj == p.obj', 'some(where (p.eft == allow)) && !some(where (p.eft == deny))'),
      'rules.csv': 'p, a, invoice, x, allow\np, b, invoice, x, allow\n',
    });
    await ask(check, last, request('alice'));
    await check.settled();
    expect(check.counts).toMatchObject({
      known: { evaluation_error: 1, typed_equality: 1, explained_rule: 1 },
      unexpected: 0,
    });
  });

  it('says which sets it cannot check, and why', async () => {
    const { check, lines } = crossCheck();
    const set = await load('more', {
      'model.conf': model('has(r.sub.dept) && r.sub.dept == p.sub && r.sub == p.obj'),
      'rules.csv': 'p, sales, alice, x, allow\n',
    });
    await ask(check, set, request('alice', { dept: 'sales' }));
    await ask(check, set, request('alice', { dept: 'sales' }));
    await check.settled();
    expect(check.counts).toMatchObject({ checked: 0, uncheckable: 2 });
    expect([...check.uncheckable]).toEqual([
      [
        'more',
        [
          'stock Casbin has no function has',
          'r.sub is read both as a value and by its attributes; in stock Casbin it is one of them',
        ],
      ],
    ]);
    expect(lines.map(({ message }) => message)).toEqual(['this policy set cannot be cross-checked']);
  });

  it('follows a set from version to version', async () => {
    const { check } = crossCheck();
    await ask(check, await load('rbac', rbac), request('bob'));
    await ask(
      check,
      await load('rbac', { ...rbac, 'rules.csv': `${rbac['rules.csv']}g, bob, manager\n` }),
      request('bob'),
    );
    await ask(check, await load('rbac', rbac), request('bob'));
    await check.settled();
    expect(check.counts).toMatchObject({ checked: 3, agreed: 3 });
  });

  it('drops what it cannot keep up with, and counts it; what never ends counts as failed', async () => {
    const { check } = crossCheck({ limits: { ...defaultStockCasbinLimits, queue: 2, evaluationMs: 100 } });
    const endless = await load('endless', {
      'model.conf': model('keyMatch2(r.obj, p.obj)'),
      'rules.csv': 'p, any, /:/, x, allow\n',
      'policy-set.yaml': 'lint: { bad_pattern: warn }\n',
    });
    for (let i = 0; i < 3; i++) await ask(check, endless, request('alice'));
    await check.settled();
    expect(check.counts).toMatchObject({ dropped: 1, failed: 2, checked: 0 });
  });

  it('takes no more than its share, and none of sets that run on stock Casbin anyway', async () => {
    const none = crossCheck({ share: 0 }).check;
    const all = crossCheck().check;
    await ask(none, await load('rbac', rbac), request('alice'));
    const stock = await load('stock', { ...rbac, 'policy-set.yaml': 'engine: casbin\n' });
    await ask(all, stock, request('alice'));
    const half = crossCheck({ share: 0.5 }).check;
    const set = await load('rbac', rbac);
    for (let i = 0; i < 400; i++) await ask(half, set, request('alice'));
    await half.settled();
    expect(none.counts.checked + all.counts.checked).toBe(0);
    // Outside of this once in 10^20.
    expect(half.counts.checked).toBeGreaterThan(100);
    expect(half.counts.checked).toBeLessThan(300);
  });

  it('has the counts and the known differences that docs/stock-casbin.md lists', () => {
    const page = readFileSync(new URL('../../docs/stock-casbin.md', import.meta.url), 'utf8');
    const [counts, codes] = page.split('\n\n').filter((part) => part.startsWith('| c'));
    const listed = (table = '') => [...table.matchAll(/^\| (`[^|]*`) \|/gm)].flatMap(([, cell]) => cell?.match(/\w+/g));
    expect(listed(codes)).toEqual(knownDifferences.map(({ code }) => code));
    expect(listed(counts).sort()).toEqual(Object.keys(crossCheck().check.counts).sort());
  });
});

interface Case {
  readonly name: string;
  readonly model: string;
  readonly policy: string;
  readonly load_error?: string;
  readonly node_only?: boolean;
  readonly roleMatchers?: unknown;
  readonly requests?: readonly {
    readonly args: readonly Json[];
    readonly context?: unknown;
    readonly matcher?: string;
  }[];
}

const casesDirectory = new URL('../cases/casbin/', import.meta.url);
const cases = readdirSync(casesDirectory)
  .filter((file) => file.endsWith('.json'))
  .map((file) => JSON.parse(readFileSync(new URL(file, casesDirectory), 'utf8')) as Case);

describe("Casbin's own cases", () => {
  it('show no difference that is not known', { timeout: 120_000 }, async () => {
    const { check, lines } = crossCheck({ limits: { ...defaultStockCasbinLimits, queue: 10_000 } });
    let asked = 0;
    for (const example of cases) {
      for (const { args, context, matcher } of example.requests ?? []) {
        if (context !== undefined || matcher !== undefined) continue;
        const question = questionOf(example, args);
        if (question === undefined) continue;
        const set = await loadCase(example, question.manifest);
        if (set === undefined) continue;
        asked++;
        await ask(check, set, question.request);
        await check.settled();
      }
    }
    const { counts } = check;
    const surprises = lines.filter(({ message }) => message === 'stock Casbin answers otherwise');
    expect(surprises.map(({ details }) => details)).toEqual([]);
    expect(counts.unexpected).toBe(0);
    expect(counts.failed).toBe(0);
    expect(counts.agreed).toBeGreaterThan(asked / 2);
  });
});

/** Texts are put in by the manifest; an object stands for the entity that its token names. */
function questionOf(
  { model }: Case,
  args: readonly Json[],
): { request: DecisionRequest; manifest: string } | undefined {
  const tokens = /^r\s*=\s*(.*)$/m
    .exec(model)?.[1]
    ?.split(',')
    .map((token) => token.trim());
  if (tokens === undefined || tokens.length !== args.length) return undefined;
  const attributes: JsonObject = {};
  const entities: Record<string, { id: string; attributes: JsonObject }> = {};
  const lines: string[] = [];
  for (const [index, token] of tokens.entries()) {
    const value = args[index] as Json;
    if (typeof value === 'string') {
      attributes[`v${index}`] = value;
      lines.push(`  ${token}: attributes.v${index}`);
    } else if (
      (token === 'sub' || token === 'obj') &&
      value !== null &&
      typeof value === 'object' &&
      !Array.isArray(value)
    ) {
      entities[token] = { id: 'it', attributes: value };
    } else {
      return undefined;
    }
  }
  const manifest = `emptyPolicy: allowed\n${lines.length > 0 ? `request:\n${lines.join('\n')}\n` : ''}`;
  const none = { id: 'none', attributes: {} };
  return {
    request: {
      subject: entities.sub ?? none,
      action: { name: 'none' },
      resource: entities.obj ?? none,
      attributes,
    },
    manifest,
  };
}

const loadedCases = new Map<string, ServedPolicySet | undefined>();

async function loadCase({ name, model, policy }: Case, manifest: string): Promise<ServedPolicySet | undefined> {
  const key = `${name}\n${manifest}`;
  if (!loadedCases.has(key)) {
    const texts = { 'model.conf': model, 'policy.csv': policy, 'policy-set.yaml': manifest };
    const set = await load(name, texts).catch((error: unknown) => {
      // Strict loading refuses what some cases are about.
      if (error instanceof PolicyError) return undefined;
      throw error;
    });
    loadedCases.set(key, set);
  }
  return loadedCases.get(key);
}
