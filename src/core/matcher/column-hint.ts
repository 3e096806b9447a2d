/** Hints for columns that the model does not have. */
import { closest } from '../closest.js';
import { quote } from '../quote.js';
import type { Environment } from './environment.js';
import { authorsName } from './source-text.js';

/**
 * Returns a hint for `name`, in Casbin's inner spelling. A name without `r.` or `p.` is most often a text without
 * quotes, or a word of another language.
 */
export function columnHint(name: string, environment: Environment): string | undefined {
  const columns = [...environment.requestColumns.keys(), ...environment.policyColumns.keys()];
  if (/^(?:true|false)$/i.test(name)) return `write ${name.toLowerCase()}`;
  if (/^(?:none|null|nil|undefined)$/i.test(name)) return 'has(r.sub.department) says whether an attribute is there';
  const own = columns.filter((column) => column.slice(column.indexOf('_') + 1) === name);
  if (own.length > 0) return `did you mean ${own.map((column) => `"${authorsName(column)}"`).join(' or ')}?`;
  if (name === 'it') return '"it" is an item in the condition of any(), all() or count()';
  const defined = closest(name, environment.definitions.all);
  if (defined !== undefined) return `did you mean ${quote(defined)}?`;
  const meant = closest(name, columns);
  if (meant !== undefined) return `did you mean "${authorsName(meant)}"?`;
  return /^[rp]\d*_/.test(name) ? undefined : 'a text is written in quotes: "read"';
}
