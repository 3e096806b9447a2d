/** How the tests of a policy set do on mutants of it, for people and programs. */
import { type CoveredCount, percentOf } from '../../core/analysis/coverage.js';
import type { Mutant } from '../../core/analysis/mutants.js';
import { countMutation, type Mutation } from '../../core/analysis/mutation.js';
import { testNameOf } from '../../core/analysis/policy-tests.js';
import { count, filePath, type TestedSet } from './report.js';
import type { Terminal } from './terminal.js';

/** Lines of survivors of one set; `--output json` has all. */
const maxListed = 100;

/** Said of a survivor that only the reason, message, obligations or advice of an answer can tell. */
const alike = ' (the same decisions, maybe with another reason or obligations)';

/** Of the mutants that load and answer otherwise, those that a test has found. */
function scoreOf(mutation: Mutation): CoveredCount {
  const { killed, survived } = countMutation(mutation);
  return { covered: killed, total: killed + survived };
}

function describeMutant({ kind, before, after }: Mutant): string {
  return `${kind.replaceAll('-', ' ')}: ${after === '' ? before : `${before} → ${after}`}`;
}

export function printMutation(terminal: Terminal, path: string, mutation: Mutation): void {
  const { killed, survived, equivalent, unloadable } = countMutation(mutation);
  const { tried, total } = mutation;
  const of = tried.length < total ? ` of ${total}, chosen alike in every run` : '';
  const score = scoreOf(mutation);
  const percent = percentOf(score);
  const told = percent === null ? 'none: there is no mutant to find' : `${percent} %`;
  terminal.print(`  mutation score ${terminal.style('bold', told)}`);
  terminal.print(`    ${count(tried.length, 'mutant')}${of}: ${killed} killed, ${survived} survived`);
  terminal.print(`    not counted: ${equivalent} that answer nothing otherwise, ${unloadable} that do not load`);
  const survivors = tried.filter(({ outcome }) => outcome === 'survived');
  for (const { mutant, decidesAlike } of survivors.slice(0, maxListed)) {
    const place = `${filePath(path, mutant.file)}:${mutant.line}:${mutant.column}`;
    terminal.print(
      `  ${place}: ${terminal.style('yellow', 'survived')}: ${describeMutant(mutant)}${decidesAlike === true ? alike : ''}`,
    );
  }
  if (survivors.length > maxListed)
    terminal.print(`  and ${survivors.length - maxListed} more: --output json lists all`);
}

export function mutationJson(mutation: Mutation): object {
  const { tried, total } = mutation;
  return {
    score: percentOf(scoreOf(mutation)),
    ...countMutation(mutation),
    tried: tried.length,
    total,
    mutants: tried.map(({ mutant: { kind, before, after, file, line, column }, outcome, killedBy, decidesAlike }) => ({
      file,
      line,
      column,
      kind,
      before,
      after,
      outcome,
      ...(killedBy !== undefined && { killedBy: testNameOf(killedBy) }),
      ...(decidesAlike === true && { decidesAlike }),
    })),
  };
}

/** Sets whose tests find less than is wanted. A set that has no mutants to try does not pass; one with failing tests fails anyway. */
export function mutationFindings(sets: readonly TestedSet[], least: number | undefined): readonly string[] {
  if (least === undefined) return [];
  return sets.flatMap(({ path, mutation, problems, results }) => {
    if (mutation === undefined) {
      const fails = problems.length > 0 || results.some(({ failures }) => failures.length > 0);
      return fails ? [] : [`${path} has no mutants, since it runs on stock Casbin: --mutate-min ${least}`];
    }
    const score = scoreOf(mutation);
    const percent = percentOf(score);
    if (percent === null)
      return [`${path} has no mutation score, since no mutant is there to find: --mutate-min ${least}`];
    if (percent >= least) return [];
    return [
      `${path} has a mutation score of ${percent} % (${score.covered} of ${score.total}), which is less than ${least} %`,
    ];
  });
}
