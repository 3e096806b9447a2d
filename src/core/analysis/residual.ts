/**
 * What is left of a decision when all that is known has been put in: always, never, or a condition over what is not
 * known. A condition is made of terms that hold, or are false, joined by `&&` and `||`; a term that errs does neither.
 */
import type { Expression } from '../matcher/ast.js';
import { printExpression } from '../matcher/print.js';

export type Residual = Always | Never | ResidualTerm | Joined;

export interface Always {
  readonly kind: 'always';
}

export interface Never {
  readonly kind: 'never';
}

export interface ResidualTerm {
  readonly kind: 'term';
  /** With what is known put in. */
  readonly expression: Expression;
  /** Whether it must hold, or must be false. */
  readonly holds: boolean;
  /** As an author would write it. */
  readonly text: string;
  /** What it depends on beside its text, such as role links. */
  readonly data: string;
  /** Two terms with the same key hold for the same requests, also in different sets. */
  readonly key: string;
  /** Why names that it holds for were not listed; undefined if it asks for attributes. */
  readonly limit: string | undefined;
}

export interface Joined {
  readonly kind: 'and' | 'or';
  readonly parts: readonly Residual[];
  readonly text: string;
  readonly key: string;
}

export const always: Always = Object.freeze({ kind: 'always' });
export const never: Never = Object.freeze({ kind: 'never' });

/** @param data what the term depends on beside its text, such as role links */
export function termOf(expression: Expression, holds: boolean, data: string, limit: string | undefined): ResidualTerm {
  const printed = printExpression(expression);
  const isOperand = !['binary', 'in', 'and', 'or', 'then', 'otherwise'].includes(expression.kind);
  const text = holds ? printed : `!${isOperand ? printed : `(${printed})`}`;
  return { kind: 'term', expression, holds, text, data, key: `${text}${data}`, limit };
}

export function allOf(parts: readonly Residual[]): Residual {
  return join('and', parts);
}

export function anyOf(parts: readonly Residual[]): Residual {
  return join('or', parts);
}

/** Most parts that are compared with each other. */
const maxCompared = 60;

function join(kind: 'and' | 'or', parts: readonly Residual[]): Residual {
  const decisive = kind === 'and' ? 'never' : 'always';
  const neutral = kind === 'and' ? 'always' : 'never';
  const flat = new Map<string, Exclude<Residual, Always | Never>>();
  for (const part of parts) {
    if (part.kind === decisive) return kind === 'and' ? never : always;
    if (part.kind === neutral) continue;
    const inner = part.kind === kind ? part.parts : [part];
    for (const each of inner) if (isOpen(each)) flat.set(each.key, each);
  }
  if (kind === 'and' && contradicts(flat)) return never;
  const sorted = [...flat.values()].sort((one, other) => (one.key < other.key ? -1 : 1));
  const kept = sorted.length > maxCompared ? sorted : sorted.filter((part) => !isAbsorbed(part, kind, sorted));
  const [only] = kept;
  if (only === undefined) return kind === 'and' ? always : never;
  if (kept.length === 1) return only;
  const within = (part: Exclude<Residual, Always | Never>, text: string): string =>
    kind === 'and' &&
    (part.kind === 'or' || (part.kind === 'term' && part.holds && looseKinds.has(part.expression.kind)))
      ? `(${text})`
      : text;
  return {
    kind,
    parts: kept,
    text: kept.map((part) => within(part, part.text)).join(kind === 'and' ? ' && ' : ' || '),
    key: `${kind}(${kept.map(({ key }) => key).join('\n')})`,
  };
}

/** Whether a term must hold and must be false. */
function contradicts(parts: ReadonlyMap<string, Exclude<Residual, Always | Never>>): boolean {
  for (const part of parts.values()) {
    if (part.kind !== 'term' || !part.holds) continue;
    if (parts.has(termOf(part.expression, false, part.data, undefined).key)) return true;
  }
  return false;
}

const looseKinds: ReadonlySet<string> = new Set(['or', 'then', 'otherwise']);

function isOpen(part: Residual): part is Exclude<Residual, Always | Never> {
  return part.kind !== 'always' && part.kind !== 'never';
}

/** `a || a && b` is `a`, and `a && (a || b)` is. */
function isAbsorbed(
  part: Exclude<Residual, Always | Never>,
  kind: 'and' | 'or',
  among: readonly Exclude<Residual, Always | Never>[],
): boolean {
  if (part.kind === 'term' || part.kind === kind) return false;
  const own = keysOf(part);
  return among.some((other) => {
    if (other === part) return false;
    const needed = other.kind === part.kind ? keysOf(other) : new Set([other.key]);
    return needed.size < own.size && [...needed].every((key) => own.has(key));
  });
}

function keysOf({ parts }: Joined): ReadonlySet<string> {
  return new Set(parts.flatMap((part) => (isOpen(part) ? [part.key] : [])));
}

export function sameResidual(one: Residual, other: Residual): boolean {
  if (!isOpen(one) || !isOpen(other)) return one.kind === other.kind;
  return one.key === other.key;
}

/** Whether one holds wherever the other does, as far as their form tells: false may mean that it is not known. */
export function follows(one: Residual, from: Residual): boolean {
  if (from.kind === 'never' || one.kind === 'always') return true;
  if (from.kind === 'always' || one.kind === 'never') return false;
  if (from.key === one.key) return true;
  if (from.kind === 'term' && one.kind === 'term') return isWiderBound(one, from);
  if (from.kind === 'or') return from.parts.every((part) => follows(one, part));
  if (one.kind === 'and') return one.parts.every((part) => follows(part, from));
  if (one.kind === 'or' && one.parts.some((part) => follows(part, from))) return true;
  return from.kind === 'and' && from.parts.some((part) => follows(one, part));
}

const bounds: ReadonlySet<string> = new Set(['<', '<=', '>', '>=']);

/** `r.obj.amount <= 60000` holds wherever `r.obj.amount <= 50000` does. */
function isWiderBound(one: ResidualTerm, from: ResidualTerm): boolean {
  const [wide, narrow] = [one.expression, from.expression];
  if (!one.holds || !from.holds || wide.kind !== 'binary' || narrow.kind !== 'binary') return false;
  if (!bounds.has(wide.operator) || wide.operator[0] !== narrow.operator[0] || !bounds.has(narrow.operator))
    return false;
  const [most, least] = [wide.right, narrow.right];
  if (most.kind !== 'literal' || least.kind !== 'literal') return false;
  if (typeof most.value !== 'number' || typeof least.value !== 'number') return false;
  if (printExpression(wide.left) !== printExpression(narrow.left) || one.data !== from.data) return false;
  if (most.value === least.value) return wide.operator.length > 1;
  return wide.operator[0] === '<' ? least.value < most.value : least.value > most.value;
}

/** Why names were not listed that a condition is about. */
export function limitsOf(residual: Residual): readonly string[] {
  if (residual.kind === 'term') return residual.limit === undefined ? [] : [residual.limit];
  return residual.kind === 'and' || residual.kind === 'or' ? residual.parts.flatMap(limitsOf) : [];
}

/** The condition as text; undefined for always and never. */
export function textOf(residual: Residual): string | undefined {
  return isOpen(residual) ? residual.text : undefined;
}
