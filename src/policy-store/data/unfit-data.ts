import type { DataProblem } from '../../core/policy/data-change.js';
import type { PolicyProblem } from '../../core/problem.js';

const unfit = 'live data (';

/** A problem of live data that does not fit its files, as one of the files that lets the set have it. */
export function unfitData({ code, message, pointer, hint }: DataProblem): PolicyProblem {
  const place = { file: 'policy-set.yaml', line: 1, column: 1 };
  return { severity: 'error', code, message: `${unfit}${pointer}): ${message}`, ...place, ...(hint && { hint }) };
}

/** Whether a set is not served because of its live data: other data may be right. */
export function isOfData({ code, message }: PolicyProblem): boolean {
  return message.startsWith(unfit) || code === 'failing_test';
}
