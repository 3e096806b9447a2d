import { isExactPattern } from '../matcher/pattern-key.js';

/** What a pattern names. */
interface NamesInPattern {
  readonly names: readonly string[];
  /** Whether it can match names that are not among them. */
  readonly matchesMore: boolean;
}

/**
 * Reads the names out of a pattern of a built-in function:
 *
 *     namesInPattern('keyMatch', '/docs/new')            // /docs/new
 *     namesInPattern('keyMatch', '/docs/*')              // none, matches more
 *     namesInPattern('regexMatch', '^(GET|HEAD)$')       // GET, HEAD
 *     namesInPattern('regexMatch', '(GET)|(HEAD)')       // GET, HEAD, matches more: it has no anchors
 *     namesInPattern('ipMatch', '10.0.0.0/8')            // none, matches more
 */
export function namesInPattern(name: string, pattern: string): NamesInPattern {
  if (isExactPattern(name, pattern)) return { names: [pattern], matchesMore: false };
  switch (name) {
    case 'regexMatch': {
      if (!words.test(pattern)) return { names: [], matchesMore: true };
      const names = pattern.split('|').map((word) => word.replace(/[()^$]/g, ''));
      return { names, matchesMore: !anchoredWords.test(pattern) };
    }
    case 'ipMatch':
    case 'ipInRanges': {
      const ranges = pattern.split(',').map((range) => range.trim());
      const names = ranges.filter((range) => !range.includes('/'));
      return { names, matchesMore: names.length < ranges.length };
    }
    case 'keyMatch2':
    case 'keyMatch3':
    case 'keyMatch4':
    case 'keyMatch5':
      // They take the dot of `/report.pdf` for any character.
      return isPlainText(pattern) ? { names: [pattern], matchesMore: true } : { names: [], matchesMore: true };
    default:
      return isPlainText(pattern) ? { names: [pattern], matchesMore: false } : { names: [], matchesMore: true };
  }
}

/** `GET`, `GET|HEAD`, `(GET)|(HEAD)`, `^(GET|HEAD)$`. */
const words = /^\^?\(?[\w-]+\)?(?:\|\(?[\w-]+\)?)*\$?$/;
const anchoredWords = /^\^(?:[\w-]+|\([\w-]+(?:\|[\w-]+)*\))\$$/;

/** True if a text has no special character of any pattern function, but for the dot. */
export function isPlainText(text: string): boolean {
  return !/[*?{}^$\\|()[\]+]|\/:/.test(text);
}
