import type { VerdictError } from '../errors.js';
import type { DecisionPage } from './decision-page.js';
import type { DecisionQuery } from './decision-query.js';
import type { DecisionRecord } from './decision-record.js';
import type { DecisionStats } from './decision-stats.js';
import type { ExportQuery } from './export-query.js';
import type { GroupsQuery, LogGroups } from './log-groups.js';
import type { SearchScope } from './record-filter.js';
import type { StatsQuery } from './stats-query.js';

/** The questions that a log answers about what was recorded. */
export abstract class RecordedDecisions {
  /**
   * Returns a page of records, newest first. Records that are committed later do not shift the pages after it.
   *
   * @param scope what the caller may see
   * @throws VerdictError `invalid_request` for a time, cursor or limit that is not one, or a cursor of another log or of other
   * filters; `cursor_expired` for a cursor of version 0.1; `decision_log_unavailable`
   */
  abstract search(query: DecisionQuery, scope?: SearchScope): Promise<DecisionPage>;

  /**
   * Returns the record with this id. Returns undefined when there is none, or when the caller may not see it.
   *
   * @throws VerdictError `decision_log_unavailable`
   */
  abstract find(id: string, scope?: SearchScope): Promise<DecisionRecord | undefined>;

  /** Returns the error `decision_not_found` for an id that `find` did not find. It names the log where the record may be. */
  abstract notFound(id: string): Promise<VerdictError>;

  /**
   * Yields all records that match, newest first, as text. A piece holds one group of records at most, so the memory used
   * does not grow with the number of records.
   *
   * @throws VerdictError as `search` does: for a wrong query at once, for anything else while it is read
   */
  abstract export(query: ExportQuery, scope?: SearchScope): AsyncGenerator<string>;

  /**
   * Yields the stored groups that may hold records of a set and a time, newest first, each with its text as it is: for those who
   * read records in a thread of their own. What is recorded (with PostgreSQL: shipped) later is not among them.
   *
   * @param pauseMs milliseconds to wait between two reads, so that decisions have the time; 0 for a process that makes none
   * @throws VerdictError `decision_log_unavailable`
   */
  abstract groups(query: GroupsQuery, pauseMs: number): AsyncGenerator<LogGroups>;

  /**
   * Counts decisions.
   *
   * @throws VerdictError `invalid_request` for a time, day or zone that does not exist, and for an answer of too many rows;
   * `decision_log_unavailable`
   */
  abstract stats(query: StatsQuery, scope?: SearchScope): Promise<DecisionStats>;
}
