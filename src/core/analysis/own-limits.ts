/** Rules by which a role could change its own limit, such as a clerk the approval limit. */
import { cut, quote } from '../quote.js';
import { columnUses } from './column-use.js';
import type { Check, LintedRule, LintedSet } from './linted-set.js';

/** Actions by these names only look. */
const harmless = /^(read|list|view|get|head|search|export|audit)/i;

export function* findOwnLimits(set: LintedSet): Check {
  const { limits } = set.compiled.manifest;
  if (limits.size === 0) return;
  const uses = columnUses(set.main);
  const roleOf = (token: string) => set.main.tokens.find((binding) => binding.token === token)?.role;
  const columnFor = (part: string) => uses.findIndex((use) => 'token' in use && roleOf(use.token) === part);
  const [subject, resource, action] = [columnFor('subject'), columnFor('resource'), columnFor('action')];
  const use = uses[subject];
  const links = use?.kind === 'role' ? (set.links.get(use.relation) ?? []) : [];
  for (const rule of set.rules) {
    const [who, what, does] = [subject, resource, action].map((column) => rule.fields[column] ?? '');
    const limited = limits.get(what as string) ?? [];
    if (rule.effect !== 'allow' || harmless.test(does as string)) continue;
    // A subject with the limited role also has the rule's role if the one reaches the other.
    const isEverybody = use !== undefined && 'always' in use && who === use.always;
    const reaching = limited.find((role) => isEverybody || includes(links, role, who as string));
    if (reaching === undefined) continue;
    const message = `${quote(reaching)} is limited by ${quote(what)}, and this rule lets it ${cut(does as string)} that`;
    yield { severity: 'warning', code: 'changes_own_limit', message, ...set.places.ofField(rule, subject) };
  }
}

/** Whether the role includes the other one, in some domain or at some time. */
function includes(links: readonly LintedRule[], role: string, other: string): boolean {
  const reached = new Set([role]);
  for (const name of reached) {
    for (const { fields } of links) if (fields[0] === name) reached.add(fields[1] ?? '');
  }
  return reached.has(other);
}
