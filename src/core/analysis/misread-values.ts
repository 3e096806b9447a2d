/**
 * Values that the matcher reads otherwise than they look: a `*` where equality is asked, a blank before the comma, a
 * comment behind a value, a pattern of another function. Such a rule is about something else than it seems, and where it
 * denies, it denies nobody.
 */
import type { Expression } from '../matcher/ast.js';
import type { Combination } from '../policy/combination.js';
import type { PolicyProblem } from '../problem.js';
import { cut, quote } from '../quote.js';
import { type ColumnReading, columnReadings, literalPatterns, roleCallsOf } from './column-readings.js';
import { foreignPattern } from './foreign-patterns.js';
import { type Check, type LintedRule, type LintedSet, rulesPerStep } from './linted-set.js';
import { valueFault } from './value-faults.js';

type Fault = Pick<PolicyProblem, 'code' | 'message' | 'hint'>;

export function* findMisreadValues(set: LintedSet): Check {
  const readings = columnReadings(set.main);
  const columns = readings.flatMap((reading, column) =>
    reading === undefined || reading.isCondition
      ? []
      : [{ column, look: remembered((text) => look(text, reading, set, column)) }],
  );
  yield* faultsOf(set, set.rules, columns);
  for (const [key, definition] of set.compiled.model.roles) {
    const calls = roleCallsOf(set.main, key);
    const links = set.links.get(key) ?? [];
    if (calls.length === 0 || links.length === 0) continue;
    const graph = set.compiled.roles.get(key);
    const names = set.compiled.manifest.roleMatching.get(key)?.names;
    const lookAtName = (text: string): Fault | undefined =>
      valueFault(text) ?? (graph?.matchesNames === true ? foreign(names, text) : wildcardName(text, key, calls));
    const ofLinks = [0, 1].map((column) => ({ column, look: remembered(lookAtName) }));
    if (definition.hasDomain) {
      const lookAtDomain = (text: string): Fault | undefined =>
        valueFault(text) ?? (graph?.matchesDomains === true ? undefined : wildcardDomain(text, key, calls));
      ofLinks.push({ column: 2, look: remembered(lookAtDomain) });
    }
    yield* faultsOf(set, links, ofLinks);
  }
  yield* findForeignLiterals(set);
}

interface LookedAt {
  readonly column: number;
  readonly look: (text: string) => Fault | undefined;
}

function* faultsOf(set: LintedSet, rules: readonly LintedRule[], columns: readonly LookedAt[]): Check {
  for (const [index, rule] of rules.entries()) {
    if (index % rulesPerStep === rulesPerStep - 1) yield undefined;
    for (const { column, look } of columns) {
      const fault = look(rule.fields[column] ?? '');
      if (fault !== undefined) yield { severity: 'warning', ...fault, ...set.places.ofField(rule, column) };
    }
  }
}

function remembered(look: (text: string) => Fault | undefined): (text: string) => Fault | undefined {
  const known = new Map<string, Fault | undefined>();
  return (text) => {
    if (!known.has(text)) known.set(text, look(text));
    return known.get(text);
  };
}

function look(
  text: string,
  reading: ColumnReading,
  { main, links, compiled }: LintedSet,
  column: number,
): Fault | undefined {
  const fault = valueFault(text);
  // A text that the matcher itself compares with is not a slip.
  if (fault !== undefined || reading.literals.has(text) || reading.isOther)
    return reading.literals.has(text) ? undefined : fault;
  const [pattern, ...furtherPatterns] = reading.patterns;
  if (pattern !== undefined) return furtherPatterns.length > 0 ? undefined : foreign(pattern, text);
  if (!isWildcard(text)) return undefined;
  for (const relation of reading.relations) {
    // A name that a link gives, or that a function matches, can be had.
    if (compiled.roles.get(relation)?.matchesNames === true) return undefined;
    if (links.get(relation)?.some(({ fields }) => fields[1] === text || fields[0] === text) === true) return undefined;
  }
  if (reading.relations.size === 0 && !reading.isCompared) return undefined;
  return wildcardCompared(text, main, column);
}

/** `*` alone, or at the end of a path or a name. */
function isWildcard(text: string): boolean {
  return /^\*+$|[/:._-]\*+$|^\*+[/:._-]|\/\*+\//.test(text) || /^\.\*$/.test(text);
}

function wildcardCompared(text: string, { policy, request }: Combination, column: number): Fault {
  const token = policy.tokens[column] as string;
  const asked = request.tokens.includes(token) ? token : (request.tokens[0] as string);
  const cure =
    text === '*'
      ? `for a rule about every ${cut(token)} the matcher says (p.${cut(token)} == "*" || …)`
      : `a path with * is matched by keyMatch(r.${cut(asked)}, p.${cut(token)})`;
  const message = `${quote(text)} is compared as it stands: the matcher reads no pattern in p.${cut(token)}`;
  return { code: 'wildcard_compared', message, hint: cure };
}

type Calls = readonly (readonly Expression[])[];

function wildcardName(text: string, key: string, calls: Calls): Fault | undefined {
  if (!isWildcard(text) || asksFor(calls, text)) return undefined;
  const message = `${quote(text)} is the name of one member of ${key}: no function matches its names`;
  const hint =
    text === '*'
      ? 'name each of them; for everybody the matcher says p.sub == "*"'
      : `in policy-set.yaml: roleMatching: { ${key}: keyMatch }`;
  return { code: 'wildcard_compared', message, hint };
}

function wildcardDomain(text: string, key: string, calls: Calls): Fault | undefined {
  if (!isWildcard(text) || asksFor(calls, text)) return undefined;
  return {
    code: 'wildcard_domain',
    message: `the link holds in the domain called ${quote(text)} alone: no function matches the domains of ${key}`,
    hint: `in policy-set.yaml: roleMatching: { ${key}: { domains: keyMatch } }`,
  };
}

/** `g(r.sub, p.sub, "*")`: the matcher asks for that very name. */
function asksFor(calls: Calls, text: string): boolean {
  return calls.some((args) => args.some((argument) => argument.kind === 'literal' && argument.value === text));
}

function foreign(name: string | undefined, text: string): Fault | undefined {
  const found = name === undefined ? undefined : foreignPattern(name, text);
  return found && { code: 'foreign_pattern', message: `${quote(text)}: ${found.message}`, hint: found.hint };
}

/** Patterns that stand in the matcher itself. */
function* findForeignLiterals({ main, compiled }: LintedSet): Check {
  const definition = compiled.model.matchers.get(compiled.manifest.definitions.m);
  if (definition === undefined) return;
  for (const { name, pattern, at } of literalPatterns(main)) {
    const fault = foreign(name, pattern);
    if (fault !== undefined)
      yield { severity: 'warning', ...fault, file: compiled.model.file, ...definition.place(at) };
  }
}
