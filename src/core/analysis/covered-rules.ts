/** Rules that others make idle: shadowed, unreachable, contradicting. */
import type { PolicyProblem } from '../problem.js';
import { type ColumnUse, columnUses } from './column-use.js';
import { at, type Check, type LintedRule, type LintedSet, rulesPerStep } from './linted-set.js';

/** Most combinations of wider texts that are tried for one rule. */
const maxCombinations = 1_000;

export function* findCoveredRules(set: LintedSet): Check {
  const uses = columnUses(set.main);
  const read = uses.flatMap((use, column) => (use.kind === 'unread' ? [] : [{ use, column }]));
  const wider = read.map(({ use, column }) => widerTexts(set, use, column));
  const byKey = new Map<string, number[]>();
  for (const [index, rule] of set.rules.entries()) {
    if (index % rulesPerStep === 0) yield;
    const key = keyOf(read.map(({ column }) => rule.fields[column] ?? ''));
    const same = byKey.get(key);
    if (same === undefined) byKey.set(key, [index]);
    else same.push(index);
  }
  for (const [index, rule] of set.rules.entries()) {
    if (index % rulesPerStep === 0) yield;
    const idle = idleByEffect(set, rule);
    if (idle !== undefined) {
      yield warn(set, rule, 'unreachable_rule', idle);
      continue;
    }
    const problem = findCover(set, index, rule, read, wider, byKey);
    if (problem !== undefined) yield problem;
  }
}

type Wider = (text: string) => readonly string[];
type Read = readonly { readonly use: ColumnUse; readonly column: number }[];

function findCover(
  set: LintedSet,
  index: number,
  rule: LintedRule,
  read: Read,
  wider: readonly Wider[],
  byKey: ReadonlyMap<string, readonly number[]>,
): PolicyProblem | undefined {
  const choices = read.map(({ column }, position) => (wider[position] as Wider)(rule.fields[column] ?? ''));
  const combinations = choices.reduce((product, texts) => product * texts.length, 1);
  if (combinations > maxCombinations) return undefined;
  for (const texts of product(choices)) {
    const key = keyOf(texts);
    const isSame = read.every(({ column }, position) => rule.fields[column] === texts[position]);
    for (const other of byKey.get(key) ?? []) {
      if (other === index) continue;
      const problem = judgeCover(set, index, other, isSame);
      if (problem !== undefined) return problem;
    }
  }
  return undefined;
}

/** The problem of rule `index` if rule `other` applies wherever it does. */
function judgeCover(set: LintedSet, index: number, other: number, isSame: boolean): PolicyProblem | undefined {
  const rule = set.rules[index] as LintedRule;
  const cover = set.rules[other] as LintedRule;
  const { effect } = set.main;
  const isOrdered = effect === 'priority' || effect === 'subject_priority';
  if (cover.effect === 'indeterminate') return undefined;
  if (isOrdered) {
    if (other > index) return undefined;
    if (isSame && cover.effect !== rule.effect) return contradicts(set, rule, cover);
    return warn(set, rule, 'unreachable_rule', `${at(cover)} comes first and decides whatever this rule is about`);
  }
  if (cover.effect === rule.effect) {
    // Two rules of the same extent: the later one is the repeat. The first one's reason and obligations are answered.
    if (isSame && other > index) return undefined;
    if (other > index && !sameAnswers(set, rule, cover)) return undefined;
    const verb = rule.effect === 'allow' ? 'allows' : 'denies';
    return warn(set, rule, 'shadowed_rule', `whatever this rule ${verb}, ${at(cover)} ${verb} already`);
  }
  if (effect !== 'allow_and_deny' || rule.effect !== 'allow') return undefined;
  if (isSame) return contradicts(set, rule, cover);
  return warn(set, rule, 'unreachable_rule', `it never allows: ${at(cover)} denies whatever it is about`);
}

function contradicts(set: LintedSet, rule: LintedRule, cover: LintedRule): PolicyProblem {
  const verb = cover.effect === 'allow' ? 'allows' : 'denies';
  return warn(set, rule, 'contradicting_rules', `${at(cover)} ${verb} exactly what this rule is about, and wins`);
}

function sameAnswers(set: LintedSet, a: LintedRule, b: LintedRule): boolean {
  const columns = ['reason', 'obligations', 'advice'].map((token) => set.main.policy.tokens.indexOf(token));
  return columns.every((column) => column < 0 || a.fields[column] === b.fields[column]);
}

/** Rules whose effect the policy effect does not read. */
function idleByEffect({ main }: LintedSet, rule: LintedRule): string | undefined {
  if (main.effect === 'allow_override' && rule.effect === 'deny') {
    return 'the policy effect reads allow rules only, so that this denial decides nothing';
  }
  if (main.effect === 'deny_override' && rule.effect === 'allow') {
    return 'the policy effect reads deny rules only: what no rule denies is allowed, with or without this rule';
  }
  return undefined;
}

/** For a text of the column: itself, and every other text of the column that holds wherever it does. */
function widerTexts(set: LintedSet, use: ColumnUse, column: number): Wider {
  const present = new Set(set.rules.map(({ fields }) => fields[column] ?? ''));
  const always = use.kind !== 'unread' && use.always !== undefined && present.has(use.always) ? [use.always] : [];
  const remembered = new Map<string, readonly string[]>();
  const further = furtherTexts(set, use, present);
  return (text) => {
    let texts = remembered.get(text);
    if (texts === undefined) {
      texts = [...new Set([text, ...always, ...further(text)])];
      remembered.set(text, texts);
    }
    return texts;
  };
}

function furtherTexts(set: LintedSet, use: ColumnUse, present: ReadonlySet<string>): (text: string) => string[] {
  switch (use.kind) {
    case 'role':
      return rolesAbove(set, use.relation, present);
    case 'pattern':
      return patternsAbove(use.function, present);
    default:
      return () => [];
  }
}

/** The roles above a name. Links of a domain, with a condition or by pattern are left out. */
function rolesAbove(set: LintedSet, key: string, present: ReadonlySet<string>): (text: string) => string[] {
  const definition = set.compiled.model.roles.get(key);
  const matching = set.compiled.manifest.roleMatching.get(key);
  if (definition === undefined || definition.hasDomain || definition.conditionColumns > 0) return () => [];
  if (matching?.names !== undefined) return () => [];
  const parents = new Map<string, string[]>();
  for (const { fields } of set.links.get(key) ?? []) {
    const [child = '', parent = ''] = fields;
    const known = parents.get(child);
    if (known === undefined) parents.set(child, [parent]);
    else known.push(parent);
  }
  return (text) => {
    const above = new Set([text]);
    for (const name of above) {
      if (above.size > maxRolesAbove) break;
      for (const parent of parents.get(name) ?? []) above.add(parent);
    }
    return [...above].filter((name) => present.has(name));
  };
}

/** Most roles of a name that are compared. */
const maxRolesAbove = 1_000;

/**
 * `/v1/*` holds wherever a pattern does that begins with `/v1/`, in Casbin's path functions; of regular expressions
 * only those that match everything are compared.
 */
function patternsAbove(name: string, present: ReadonlySet<string>): (text: string) => string[] {
  if (name === 'regexMatch') {
    const all = ['.*', '^.*', '.*$', '^.*$'].filter((pattern) => present.has(pattern));
    return () => all;
  }
  if (!/^keyMatch[2-5]?$/.test(name)) return () => [];
  const ending = name === 'keyMatch' ? '*' : '/*';
  const plain = [...present].filter((text) => text.endsWith(ending) && !/[*:{]/.test(text.slice(0, -1)));
  const prefixes = new Map(plain.map((text) => [text.slice(0, -1), text]));
  return (text) => {
    const found: string[] = [];
    for (let length = 0; length <= text.length; length++) {
      const wide = prefixes.get(text.slice(0, length));
      if (wide !== undefined) found.push(wide);
    }
    return found;
  };
}

function keyOf(texts: readonly string[]): string {
  return texts.join('\0');
}

function* product(choices: readonly (readonly string[])[]): Generator<readonly string[]> {
  const [first, ...rest] = choices;
  if (first === undefined) yield [];
  else for (const text of first) for (const others of product(rest)) yield [text, ...others];
}

function warn(set: LintedSet, rule: LintedRule, code: string, message: string): PolicyProblem {
  return { severity: 'warning', code, message, ...set.places.ofField(rule, undefined) };
}
