/**
 * The manifest's `gateway.paths`: which paths the server behind a gateway treats as equal. A denial of `/admin` has no
 * effect if the server serves the same file as `/Admin` or `/admin.`, so the policy is asked about one spelling.
 */
import type { YamlNode } from './yaml-document.js';

export interface PathReading {
  /** `refuse`: a path with `;` is ambiguous, since some servers cut what follows it. `keep`: it is an ordinary character. */
  readonly parameters: 'refuse' | 'keep';
  /** `ignore`: `/a/` is `/a`. */
  readonly slash: 'keep' | 'ignore';
  /** The spelling of a decoded segment that the policy is asked about; may be empty. */
  segment(text: string): string;
  /** True if case is folded. Rules and routes are then written in lower case. */
  readonly ignoresCase: boolean;
}

export const defaultPathReading: PathReading = Object.freeze({
  parameters: 'refuse',
  slash: 'keep',
  segment: (text: string) => text,
  ignoresCase: false,
});

/**
 * Folds the case of a text. To upper and then to lower case, so that letters with the same capital (`\u017f`, the long
 * s) become one.
 *
 *     foldCase('/Admin')   // '/admin'
 */
export function foldCase(text: string): string {
  return text.toUpperCase().toLowerCase();
}

/** Reads `gateway.paths`. A wrong member is reported and gets its default. */
export function readPathReading(node: YamlNode): PathReading {
  const members = node.knownMembers('gateway.paths', ['case', 'trailing', 'slash', 'parameters']);
  const ignoresCase = members?.case?.oneOf('gateway.paths.case', keepOrIgnore) === 'ignore';
  // A server that ignores case usually runs on Windows, which also drops dots and blanks at the end of a name.
  const trailing = members?.trailing?.oneOf('gateway.paths.trailing', keepOrIgnore);
  const cutsEnds = (trailing ?? (ignoresCase ? 'ignore' : 'keep')) === 'ignore';
  return Object.freeze({
    parameters: members?.parameters?.oneOf('gateway.paths.parameters', ['refuse', 'keep']) ?? 'refuse',
    slash: members?.slash?.oneOf('gateway.paths.slash', keepOrIgnore) ?? 'keep',
    segment: (text: string) => {
      const cut = cutsEnds ? withoutEnd(text) : text;
      return ignoresCase ? foldCase(cut) : cut;
    },
    ignoresCase,
  });
}

const keepOrIgnore = ['keep', 'ignore'] as const;

/** Removes dots and blanks at the end. A loop, since a regular expression would take quadratic time. */
function withoutEnd(text: string): string {
  let end = text.length;
  while (end > 0 && /[.\s]/.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}
