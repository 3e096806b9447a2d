import { VerdictError } from '../errors.js';
import { idWriter } from './decision-ids.js';

/**
 * The refusal for an id that is not found. Where the id names another writer than `writer`, which makes the ids here,
 * it says which: the decision is in another log. The caller knows the id, so this tells nothing about other records.
 */
export function decisionNotFound(id: string, writer: number | undefined): VerdictError {
  const named = idWriter(id);
  const where =
    named === undefined || writer === undefined || named === writer
      ? ''
      : ` Its id was made by writer ${named}; the writer of this decision log is ${writer}.`;
  return new VerdictError('decision_not_found', `There is no decision "${id}".${where}`);
}
