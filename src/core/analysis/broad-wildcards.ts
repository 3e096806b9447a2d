/** An allow rule with a wildcard where all its neighbours, the rules of the same subject, say what they mean. */
import { cut, quote } from '../quote.js';
import { columnUses } from './column-use.js';
import type { Check, LintedRule, LintedSet } from './linted-set.js';

/** Least number of neighbours; fewer do not show a habit. */
const leastNeighbours = 2;

const wildcards: ReadonlySet<string> = new Set(['*', '/*', '.*', '^.*$', '^.*', '.*$', '**']);

export function* findBroadWildcards(set: LintedSet): Check {
  const uses = columnUses(set.main);
  const tokens = uses.map((use) =>
    'token' in use ? set.main.tokens.find(({ token }) => token === use.token) : undefined,
  );
  const subject = tokens.findIndex((token) => token?.role === 'subject');
  if (subject < 0) return;
  const columns = uses.flatMap((use, column) => ('token' in use && column !== subject ? [column] : []));
  const bySubject = new Map<string, LintedRule[]>();
  for (const rule of set.rules) {
    if (rule.effect !== 'allow') continue;
    const name = rule.fields[subject] ?? '';
    const rules = bySubject.get(name);
    if (rules === undefined) bySubject.set(name, [rule]);
    else rules.push(rule);
  }
  for (const [name, rules] of bySubject) {
    for (const column of columns) {
      const wide = rules.filter(({ fields }) => wildcards.has(fields[column] ?? ''));
      const [only] = wide;
      if (wide.length !== 1 || only === undefined || rules.length - 1 < leastNeighbours) continue;
      const text = only.fields[column];
      const token = set.main.policy.tokens[column];
      const message = `${quote(text)} is every ${cut(token as string)}; the other ${rules.length - 1} rules of ${quote(name)} name theirs`;
      yield { severity: 'warning', code: 'broad_wildcard', message, ...set.places.ofField(only, column) };
    }
  }
}
