/** A path with capital letters in a set whose gateway asks in lower case: an allow rule that allows nothing, or a denial that denies nothing. */
import { foldCase } from '../manifest/gateway-paths.js';
import { quote } from '../quote.js';
import { columnUses } from './column-use.js';
import { type Check, type LintedSet, rulesPerStep } from './linted-set.js';

export function* findUnaskedPaths(set: LintedSet): Check {
  if (!set.compiled.manifest.gateway.paths.ignoresCase) return;
  const columns = columnUses(set.main).flatMap((use, column) =>
    use.kind === 'equal' || (use.kind === 'pattern' && use.function.startsWith('keyMatch')) ? [column] : [],
  );
  for (const [index, rule] of set.rules.entries()) {
    if (index % rulesPerStep === rulesPerStep - 1) yield undefined;
    for (const column of columns) {
      const text = rule.fields[column] ?? '';
      if (!text.startsWith('/') || isLowerCase(text)) continue;
      const message = `the gateway asks for paths in lower case (gateway.paths.case), never for ${quote(text)}`;
      const hint = `write ${quote(foldCase(text))}`;
      yield { severity: 'warning', code: 'path_never_asked', message, hint, ...set.places.ofField(rule, column) };
    }
  }
}

/** The names of variables (`:id`, `{id}`) are not compared. */
function isLowerCase(path: string): boolean {
  const compared = path.replace(/:[^/]+|\{[^/]+\}/g, '');
  return foldCase(compared) === compared;
}
