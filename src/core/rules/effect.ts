/** How the effects of matching rules become one decision (Casbin's default effector, in Go). */

export type EffectKind = 'allow_override' | 'deny_override' | 'allow_and_deny' | 'priority' | 'subject_priority';

/** Compared as exact text, as in the reference: another spelling, also with other spaces, is unknown. */
const effectTexts: ReadonlyMap<string, EffectKind> = new Map([
  ['some(where (p_eft == allow))', 'allow_override'],
  ['!some(where (p_eft == deny))', 'deny_override'],
  ['some(where (p_eft == allow)) && !some(where (p_eft == deny))', 'allow_and_deny'],
  ['priority(p_eft) || deny', 'priority'],
  ['subjectPriority(p_eft) || deny', 'subject_priority'],
]);

/** Returns undefined for an effect that Casbin does not support. `text` has `p_eft` for `p.eft`. */
export function effectKindOf(text: string): EffectKind | undefined {
  return effectTexts.get(text);
}

export const effectSpellings: readonly string[] = [...effectTexts.keys()].map((text) =>
  text.replaceAll('p_eft', 'p.eft'),
);

/**
 * The effect of a rule: its `eft` column, or `allow` without one. Any other text is `indeterminate` and decides
 * nothing.
 */
export type RuleEffect = 'allow' | 'deny' | 'indeterminate';

export function ruleEffectOf(fields: readonly string[], effectColumn: number | undefined): RuleEffect {
  if (effectColumn === undefined) return 'allow';
  const effect = fields[effectColumn];
  return effect === 'allow' || effect === 'deny' ? effect : 'indeterminate';
}
