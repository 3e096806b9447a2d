/** Runs the tests of a policy set on mutants of it: a mutant that no test finds shows what the tests do not say. */

import type { NamedText } from '../manifest/yaml-document.js';
import { walk } from '../matcher/ast.js';
import { isCombination } from '../policy/combination.js';
import type { CompiledPolicySet } from '../policy/compile.js';
import { expressionsOf } from '../policy/expressions.js';
import { readsClock } from '../policy/reads-clock.js';
import { PolicySet } from '../policy-set.js';
import { questionsOf } from './access.js';
import { diffAccessInSteps } from './access-diff.js';
import { type Permission, requestOfPermission } from './examiner.js';
import { chooseMutants, type Mutant, mutantsOf } from './mutants.js';
import { asksForAttributes } from './name-group.js';
import { judge } from './policy-tests.js';
import type { PolicyTest } from './test-document.js';
import { universeInSteps } from './universe.js';

/**
 * `killed`: a test fails. `survived`: none does, although some request may be answered otherwise. `equivalent`: every request
 * is answered as before, so that no test could tell. `unloadable`: the set does not load, which needs no test.
 */
export type MutantOutcome = 'killed' | 'survived' | 'equivalent' | 'unloadable';

export interface TriedMutant {
  readonly mutant: Mutant;
  readonly outcome: MutantOutcome;
  /** The first test that failed. */
  readonly killedBy?: PolicyTest;
  /** A survivor that decides every request as before, and may do so for another reason or with other obligations or advice. */
  readonly decidesAlike?: true;
}

export interface Mutation {
  readonly tried: readonly TriedMutant[];
  /** Number of all mutants; more than were tried if that was bounded. */
  readonly total: number;
}

export interface MutationOptions {
  readonly texts: readonly NamedText[];
  /** Tests that the set passes. */
  readonly tests: readonly PolicyTest[];
  /** Most mutants that are tried. */
  readonly most: number;
  /** Loads the set with another text of a file; undefined if it does not load. */
  readonly load: (changed: NamedText) => CompiledPolicySet | undefined;
}

/** Most questions that are compared to find out whether a mutant decides otherwise at all. */
const mostQuestions = 20_000;

/** Tries mutants, pausing after each. */
export function* mutateInSteps(set: CompiledPolicySet, options: MutationOptions): Generator<void, Mutation> {
  const { texts, tests, most, load } = options;
  const mutants = mutantsOf(set, texts);
  // A comparison of what two sets allow is about one moment.
  const comparesAll = !readsClock(set);
  const tried: TriedMutant[] = [];
  for (const mutant of chooseMutants(mutants, most)) {
    yield;
    const changed = load(mutant.changed());
    if (changed === undefined) {
      tried.push({ mutant, outcome: 'unloadable' });
      continue;
    }
    const own = new PolicySet(changed);
    const isFailing = (test: PolicyTest): boolean =>
      judge(test, own.evaluate(test.request, { now: test.now, explain: 'none' })).failures.length > 0;
    const killedBy = tests.find(isFailing);
    if (killedBy !== undefined) tried.push({ mutant, outcome: 'killed', killedBy });
    else if (!comparesAll || !(yield* decidesAlike(set, changed))) tried.push({ mutant, outcome: 'survived' });
    else if (yield* answersAlike(set, changed)) tried.push({ mutant, outcome: 'equivalent' });
    else tried.push({ mutant, outcome: 'survived', decidesAlike: true });
  }
  return { tried, total: mutants.length };
}

function* decidesAlike(set: CompiledPolicySet, changed: CompiledPolicySet): Generator<void, boolean> {
  const bounds = { now: 0, maxQuestions: mostQuestions };
  const { gained, lost, limits } = yield* diffAccessInSteps(set, changed, bounds);
  return gained.length + lost.length + limits.length === 0;
}

/**
 * Whether two sets that decide alike also give the same reasons, messages, obligations, advice and errors. Each question is
 * asked with the attributes that are stored. With others, another rule may decide: that is told from the outside unless every
 * allow and every deny is answered alike.
 */
function* answersAlike(set: CompiledPolicySet, changed: CompiledPolicySet): Generator<void, boolean> {
  if ([set, changed].some((each) => readsAttributes(each) && rulesTell(each))) return false;
  const universe = yield* universeInSteps([set, changed]);
  const [old, current] = [new PolicySet(set), new PolicySet(changed)];
  const told = (asked: PolicySet, question: Permission): string => {
    const {
      reason,
      obligations,
      advice = [],
      errors,
    } = asked.evaluate(requestOfPermission(question), {
      now: 0,
      explain: 'brief',
    });
    const codes = errors.map(({ code }) => code);
    return JSON.stringify([reason.code, reason.message ?? null, obligations, advice, codes]);
  };
  let asked = 0;
  for (const question of questionsOf(universe)) {
    if (++asked % questionsPerStep === 0) yield;
    if (told(old, question) !== told(current, question)) return false;
  }
  return true;
}

/** Questions between two pauses. */
const questionsPerStep = 16;

function readsAttributes({ main }: CompiledPolicySet): boolean {
  if (!isCombination(main)) return false;
  let reads = asksForAttributes(main);
  for (const expression of expressionsOf(main)) {
    walk(expression, ({ kind }) => {
      reads ||= kind === 'attribute';
    });
  }
  return reads;
}

/** Whether the answer shows more of the deciding rule than its effect. */
function rulesTell({ main }: CompiledPolicySet): boolean {
  if (!isCombination(main)) return false;
  if (main.effect !== 'allow_override') return true;
  return [...main.rules].some(({ answerColumns }) =>
    Object.values(answerColumns ?? {}).some((column) => column !== undefined),
  );
}

/** Of the mutants that load and decide otherwise, how many were killed. */
export function countMutation({ tried }: Mutation): Readonly<Record<MutantOutcome, number>> {
  const counts = { killed: 0, survived: 0, equivalent: 0, unloadable: 0 };
  for (const { outcome } of tried) counts[outcome]++;
  return counts;
}
