/**
 * The thread in which stock Casbin runs, and the only importer of `casbin`. If a matcher keeps it busy or takes too
 * much memory, `stock-casbin.ts` ends it.
 */
import { parentPort } from 'node:worker_threads';
import { EnforceContext, type Enforcer, newEnforcer, newModelFromString, StringAdapter, Util } from 'casbin';
import type { Reply, StockQuestion, StockSet } from './messages.js';

interface Loaded {
  readonly enforcer: Enforcer;
  readonly context: EnforceContext;
  readonly effectColumn: number;
}

const sets = new Map<string, Loaded>();

parentPort?.on('message', (question: StockQuestion) => {
  answer(question).then(
    (reply) => parentPort?.postMessage(reply),
    (error) => parentPort?.postMessage({ kind: 'error', message: oneLine(error) } satisfies Reply),
  );
});

async function answer(question: StockQuestion): Promise<Reply> {
  switch (question.kind) {
    case 'load':
      sets.set(question.set.key, await load(question.set));
      return { kind: 'done' };
    case 'enforce':
      return enforce(question.key, question.values);
    case 'forget':
      sets.delete(question.key);
      return { kind: 'done' };
  }
}

async function load(set: StockSet): Promise<Loaded> {
  // The adapter treats an empty text as missing.
  const enforcer = await newEnforcer(newModelFromString(set.model), new StringAdapter(`${set.rules}\n`));
  for (const matching of set.roleMatching) {
    const matches = matchingFunction(matching.function);
    if (matching.of === 'names') await enforcer.addNamedMatchingFunc(matching.definition, matches);
    else await enforcer.addNamedDomainMatchingFunc(matching.definition, matches);
  }
  if (set.roleMatching.length > 0) await enforcer.buildRoleLinks();
  const { r, p, e, m } = set.definitions;
  const policy = enforcer.getModel().model.get('p')?.get(p);
  return {
    enforcer,
    context: new EnforceContext(r, p, e, m),
    effectColumn: policy?.tokens.indexOf(`${p}_eft`) ?? -1,
  };
}

function matchingFunction(name: string): (name: string, pattern: string) => boolean {
  switch (name) {
    case 'keyMatch':
      return Util.keyMatchFunc;
    case 'keyMatch2':
      return Util.keyMatch2Func;
    case 'keyMatch3':
      return Util.keyMatch3Func;
    case 'keyMatch4':
      return Util.keyMatch4Func;
    case 'keyMatch5':
      return Util.keyMatch5Func;
    case 'regexMatch':
      return Util.regexMatchFunc;
    case 'globMatch':
      return Util.globMatch;
    case 'ipMatch':
      return Util.ipMatchFunc;
    default:
      throw new Error(`stock Casbin has no function ${name}`);
  }
}

function enforce(key: string, values: readonly unknown[]): Reply {
  const set = sets.get(key);
  if (set === undefined) throw new Error('this set is not loaded');
  // The asynchronous call does the same with a promise for every node of the expression, at twice the cost.
  const [allowed, rule] = set.enforcer.enforceExSync(set.context, ...values);
  const effect = rule[set.effectColumn];
  return effect === undefined ? { kind: 'answer', allowed, rule } : { kind: 'answer', allowed, rule, effect };
}

function oneLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/\s+/g, ' ').slice(0, 300);
}
