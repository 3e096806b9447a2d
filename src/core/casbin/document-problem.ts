import type { PolicyProblem } from '../problem.js';
import type { Section } from './model-sections.js';

/**
 * A problem of a model or rules file. `refusedByReference` is set where Casbin's Go implementation refuses the file, too,
 * or would read something else than what stands there (binary content, lines cut in pieces): such a file never loads.
 * Everything else it swallows in silence, and only a strict load stops there.
 */
export type DocumentProblem = PolicyProblem & {
  readonly refusedByReference?: true;
  /** The definitions that could not be read as their author meant them. */
  readonly damages?: Section;
  /** The definitions that this follows from, if they are damaged: a rule of a type whose definition was not read. */
  readonly follows?: Section | undefined;
};

/** Takes problems as they are found; the caller collects and sorts them. */
export type ReportProblem = (problem: DocumentProblem) => void;
