/** What names mean while a text is parsed. */
import type { Expression } from './ast.js';
import type { MatcherSyntaxError } from './syntax-error.js';

/** What the parser must know of names. */
export interface KnownNames {
  isFunction(name: string): boolean;
  isQuantifier(name: string): boolean;
  /** What a bare name is defined as, as an expression at an offset; undefined if it is not. */
  definitionOf(name: string, at: number): Expression | undefined;
}

/** The names that a manifest defines. */
export interface DefinedNames {
  readonly all: Iterable<string>;
  /**
   * What stands for a name; undefined for a name that is not defined. All of it stands at the offset `at`; without one, where
   * it stands in what the name is defined as.
   */
  find(name: string, at?: number): Expression | undefined;
  /** Those that stand for nothing; each of them is never true. */
  faults(): readonly DefinitionFault[];
}

/** Why a name stands for nothing. */
export interface DefinitionFault {
  readonly name: string;
  readonly error: MatcherSyntaxError;
}

export const noDefinitions: DefinedNames = Object.freeze({ all: [], find: () => undefined, faults: () => [] });
