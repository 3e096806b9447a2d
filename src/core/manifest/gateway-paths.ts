/**
 * The manifest's `gateway.paths`: which paths the server behind a gateway takes for the same one. A denial of `/admin` is no
 * denial where that server serves `/Admin` or `/admin.` by the same file, so the policy is asked about one spelling of them.
 */
import type { YamlNode } from './yaml-document.js';

export interface PathReading {
  /** `refuse`: a path with `;` is ambiguous, since some servers cut what follows it. `keep`: it is an ordinary character. */
  readonly parameters: 'refuse' | 'keep';
  /** `ignore`: `/a/` is `/a`. */
  readonly slash: 'keep' | 'ignore';
  /** What the policy is asked about for a decoded segment; empty where nothing of it is left. */
  segment(text: string): string;
  /** Whether letters lose their case: rules and routes are then written in lower case. */
  readonly ignoresCase: boolean;
}

export const defaultPathReading: PathReading = Object.freeze({
  parameters: 'refuse',
  slash: 'keep',
  segment: (text: string) => text,
  ignoresCase: false,
});

/**
 * Folds the case of a text. Both ways in turn, so that letters that share a capital (`\u017f`, the long s) fold to one.
 *
 *     foldCase('/Admin')   // '/admin'
 */
export function foldCase(text: string): string {
  return text.toUpperCase().toLowerCase();
}

/** Reads `gateway.paths`. Whatever is wrong is reported and stands at its default. */
export function readPathReading(node: YamlNode): PathReading {
  const members = node.knownMembers('gateway.paths', ['case', 'trailing', 'slash', 'parameters']);
  const ignoresCase = members?.case?.oneOf('gateway.paths.case', keepOrIgnore) === 'ignore';
  // A server that ignores case keeps its files on Windows as a rule, which drops dots and blanks at the end of a name too.
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

/** Without dots and blanks at its end. A loop, since a pattern would take quadratic time over many of them. */
function withoutEnd(text: string): string {
  let end = text.length;
  while (end > 0 && /[.\s]/.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}
