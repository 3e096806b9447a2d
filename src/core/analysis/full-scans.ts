/** Matchers that put each request to every rule. */
import type { Check, LintedSet } from './linted-set.js';

/** Least number of rules that is reported. Fewer take no noticeable time. */
const manyRules = 1_000;

export function* findFullScans({ compiled, main, rules }: LintedSet): Check {
  const definition = compiled.model.matchers.get(compiled.manifest.definitions.m);
  if (definition === undefined || !main.plan.scans || !main.readsRules || rules.length <= manyRules) return;
  yield {
    severity: 'warning',
    code: 'full_scan',
    message: `each request is put to all ${rules.length} rules: nothing in the matcher can be looked up`,
    file: compiled.model.file,
    ...definition.place(0),
    hint: 'begin with terms such as r.act == p.act or g(r.sub, p.sub), joined by &&',
  };
}
