import type { DecisionLog } from '../../src/decision-log/decision-log.js';
import type { DecisionLogOptions, LocalLogMode } from '../../src/decision-log/decision-log-options.js';
import type { RecordedDecisions } from '../../src/decision-log/recorded-decisions.js';

/** A place where decision logs are kept, empty at first. */
export interface LogHome {
  /** Starts a log there, which finds what others recorded before it. Mode `sync` when left out. Stopped when the test ends. */
  start(options?: Partial<DecisionLogOptions> & { readonly mode?: LocalLogMode }): Promise<DecisionLog>;
  /** Opens what is recorded there to read it, beside the log that writes it. Closed when the test ends. */
  read(): Promise<RecordedDecisions>;
  /** Resolves when others, as `read` opens them, see all that the log has committed. */
  shared(log: DecisionLog): Promise<void>;
  /** The least number of records that `top` counts when there are more. */
  readonly leastCounted: number;
  /** Brings all that the log does behind its commits to its end, so that every record is in the index. */
  index(log: DecisionLog): Promise<void>;
}

/** Makes a new place for a test. */
export type MakeLogHome = () => LogHome;
