/** Casbin's matching functions (AddNamedMatchingFunc) as role graphs use them. */

import { BoundedCache } from '../bounded-cache.js';
import type { CustomFunction } from '../matcher/environment.js';
import type { FunctionDefinition } from '../matcher/functions/function-definition.js';
import { FunctionError, type PatternTest } from '../matcher/functions/function-definition.js';
import { isValidGlob } from '../matcher/functions/glob.js';
import { patternKey, prefixFunctions } from '../matcher/pattern-key.js';
import { cut, quote } from '../quote.js';
import { type NameMatching, noTexts, type PatternTexts } from '../rules/pattern-index.js';

/** Functions that can be used as matching functions. */
export interface RoleFunctions {
  readonly functions: ReadonlyMap<string, FunctionDefinition>;
  readonly customFunctions: ReadonlyMap<string, CustomFunction>;
}

/**
 * A matching function of the embedding program threw. Roles are unknown then; "no" would be wrong, since `!g(…)` would
 * allow.
 */
export class MatchingFunctionFailed extends Error {
  override readonly name = 'MatchingFunctionFailed';

  constructor(name: string, cause: unknown) {
    super(`${name}(): ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

/** Finds a matching function by name; calls `refuse` with the reason if there is none. */
export function findMatching(
  name: string | undefined,
  key: string,
  functions: RoleFunctions,
  refuse: (message: string, hint: string) => void,
): NameMatching | undefined {
  if (name === undefined) return undefined;
  const custom = functions.customFunctions.get(name);
  if (custom !== undefined) {
    const matches = (text: string, pattern: string): boolean => {
      try {
        return custom(text, pattern) === true;
      } catch (error) {
        throw new MatchingFunctionFailed(name, error);
      }
    };
    return { matches, isPattern: () => true };
  }
  const definition = functions.functions.get(name);
  const prepare = definition?.prepare;
  if (prepare === undefined) {
    const hint = 'it may be keyMatch, keyMatch2, keyMatch3, keyMatch4, keyMatch5, regexMatch, globMatch or ipMatch';
    refuse(`roleMatching.${cut(key)}: ${quote(name)} is no matching function`, hint);
    return undefined;
  }
  const isPattern = patternTests.get(name) ?? (() => true);
  const ofPolicy = new Map<string, PatternTest>();
  const ofRequests = new BoundedCache<PatternTest>(keptPatterns);
  const stepsToPrepare = definition?.stepsToPrepare ?? (() => 0);
  return {
    isPattern,
    textsOf: (pattern) => textsOfPattern(name, pattern),
    prepare: (pattern) => {
      const test = ofPolicy.get(pattern) ?? prepareQuietly(prepare, pattern);
      ofPolicy.set(pattern, test);
      return test;
    },
    testOf: (pattern) => ofPolicy.get(pattern) ?? prepareQuietly(prepare, pattern),
    matches: (text, pattern, meter) => {
      meter.spend(stepsToFind);
      if (!isPattern(pattern)) return text === pattern;
      let test = ofPolicy.get(pattern);
      if (test === undefined) {
        const isKept = pattern.length <= longestKept;
        if (!isKept || meter.isFirst(ofRequests, pattern)) meter.spend(stepsToPrepare(pattern));
        test = ofRequests.get(pattern) ?? prepareQuietly(prepare, pattern);
        if (isKept) ofRequests.set(pattern, test);
      }
      return test(text, meter);
    },
  };
}

/** Steps for finding a prepared pattern. */
const stepsToFind = 15;

/** Most prepared patterns that come from requests. Those of the policy are kept apart. */
const keptPatterns = 1_000;
const longestKept = 1_024;
const plainPath = /^[A-Za-z0-9_\-/@ ]*$/;

/** Tests by function whether a name can match more than itself. For other functions any name may be a pattern. */
const patternTests: ReadonlyMap<string, (name: string) => boolean> = new Map([
  ['keyMatch', (name: string) => name.includes('*')],
  ...['keyMatch2', 'keyMatch3', 'keyMatch4', 'globMatch'].map(
    (name) => [name, (text: string) => !plainPath.test(text)] as const,
  ),
]);

/** Prepares a pattern. A name that is not a valid pattern matches only itself; an error matches nothing. */
function prepareQuietly(prepare: (pattern: string) => PatternTest, pattern: string): PatternTest {
  const quietly = <Value>(work: () => Value, otherwise: Value): Value => {
    try {
      return work();
    } catch (error) {
      if (error instanceof FunctionError) return otherwise;
      throw error;
    }
  };
  const test = quietly(
    () => prepare(pattern),
    () => false,
  );
  return (name, meter) => quietly(() => test(name, meter), false);
}

/**
 * Texts that all names hold which a pattern matches.
 *
 *     textsOfPattern('globMatch', '/docs/*-draft*.pdf')  // { prefix: '/docs', suffix: '.pdf', infix: '-draft' }
 */
export function textsOfPattern(name: string, pattern: string): PatternTexts {
  if (name === 'globMatch') return textsOfGlob(pattern);
  if (!prefixFunctions.has(name)) return noTexts;
  if (name === 'keyMatch') return { ...noTexts, prefix: pattern.split('*', 1)[0] as string };
  return { ...noTexts, prefix: patternKey(name, pattern).text };
}

/** A slash beside stars may stand for nothing: `/a/**` matches `/a`. */
function textsOfGlob(glob: string): PatternTexts {
  if (!isValidGlob(glob)) return noTexts;
  const prefix = (/^[^*?[{\\]*/.exec(glob) as RegExpExecArray)[0];
  const suffix = (/[^*?\]}\\]*$/.exec(glob) as RegExpExecArray)[0];
  // Alternatives and classes have no text that all matches hold.
  const runs = /[[{\\]/.test(glob) ? [] : glob.split(/[*?]+/).map((run) => run.replace(/^\/|\/$/g, ''));
  return {
    prefix: prefix.endsWith('/') ? prefix.slice(0, -1) : prefix,
    suffix: suffix === '/' ? '' : suffix,
    infix: runs.reduce((longest, run) => (run.length > longest.length ? run : longest), ''),
  };
}
