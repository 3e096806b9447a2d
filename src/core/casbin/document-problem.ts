import type { PolicyProblem } from '../problem.js';
import type { Section } from './model-sections.js';

/**
 * A problem of a model or rules file. `refusedByReference` is true if Casbin's Go implementation also refuses the file,
 * or would misread it (binary content, lines cut in pieces): such a file never loads. Casbin accepts everything else in
 * silence, and only a strict load refuses it.
 */
export type DocumentProblem = PolicyProblem & {
  readonly refusedByReference?: true;
  /** The definitions that could not be read as their author meant them. */
  readonly damages?: Section;
  /** The section whose damaged definitions cause this problem: a rule of a type whose definition was not read. */
  readonly follows?: Section | undefined;
};

/** Takes problems as they are found; the caller collects and sorts them. */
export type ReportProblem = (problem: DocumentProblem) => void;
