import type { Problem } from '../problem.js';

/**
 * A problem of a model or rules file. `refusedByReference` is set where Casbin's Go implementation refuses the file, too,
 * or would read something else than what stands there (binary content, lines cut in pieces): such a file never loads.
 * Everything else it swallows in silence, and only a strict load stops there.
 */
export type DocumentProblem = Problem & { readonly refusedByReference?: true };

/** Takes problems as they are found; the caller collects and sorts them. */
export type ReportProblem = (problem: DocumentProblem) => void;
