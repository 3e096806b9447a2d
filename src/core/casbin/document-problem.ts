import type { Problem } from '../problem.js';

/**
 * A problem of a model or rules file. `refusedByReference` is set where Casbin's Go implementation refuses to load the
 * file, too; everything else it swallows in silence, and only a strict load stops there.
 */
export type DocumentProblem = Problem & { readonly refusedByReference?: true };

/** Takes problems as they are found; the caller collects and sorts them. */
export type ReportProblem = (problem: DocumentProblem) => void;
