/** What a simulation and its threads tell each other. */
import type { PolicyProblem } from '../../core/problem.js';
import type { StoredGroup } from '../../decision-log/group-text.js';
import type { StoredEntries } from '../../policy-store/data/entries.js';
import type { PolicyFile } from '../../policy-store/policy-set-files.js';
import type { TallyParts } from './simulation-tally.js';

/** A version of a policy set as it is compiled. */
export interface SetContent {
  readonly files: readonly PolicyFile[];
  /** `core/semantics.ts`; undefined: today's. */
  readonly semantics?: number | undefined;
  /** The live data that it served with; undefined: it had none. */
  readonly data?: StoredEntries | undefined;
}

/** Why a version cannot be asked. */
export type Missing = 'policy_version_not_found' | 'live_data_not_kept';

/** What a thread begins with. */
export interface Assignment {
  readonly policySet: string;
  readonly candidate: SetContent;
  /** Milliseconds since 1970; `to` is excluded. */
  readonly from: number | undefined;
  readonly to: number | undefined;
  /** A condition over records (decision-log/record-condition.ts), where the source does not apply it. */
  readonly filter: string | undefined;
  /** The thread gives way to others that want the processor. */
  readonly isBackground?: true | undefined;
}

/** What a thread is given. */
export interface ThreadData {
  readonly assignment: Assignment;
  /** Not 0 when it shall end with what it has counted, also amid a portion. */
  readonly stopped: Int32Array;
}

/** Some of the log. */
export type Portion =
  | { readonly kind: 'groups'; readonly groups: readonly StoredGroup[] }
  /** Lines of an export, whole ones. `line` is the number of the first. */
  | { readonly kind: 'lines'; readonly text: string; readonly line: number };

export type ToThread =
  | { readonly kind: 'portion'; readonly portion: Portion }
  /** Some of the live data of a version that is on its way. */
  | { readonly kind: 'entries'; readonly version: string; readonly entries: StoredEntries }
  /** The answer to `wanted`; all of its live data went before it. */
  | { readonly kind: 'version'; readonly version: string; readonly content: SetContent | Missing }
  | { readonly kind: 'finish' }
  /** `ThreadData.stopped` is set: what it waits for may never come. */
  | { readonly kind: 'stop' };

export type FromThread =
  | { readonly kind: 'ready'; readonly hasLiveData: boolean }
  /** The candidate does not load. */
  | { readonly kind: 'refused'; readonly problems: readonly PolicyProblem[] }
  | { readonly kind: 'wanted'; readonly version: string }
  /** A portion is done: how many decisions have been answered so far, and how many of them differ. */
  | { readonly kind: 'done'; readonly answered: number; readonly changed: number }
  /** A line of an export that holds no record. */
  | { readonly kind: 'unreadable'; readonly line: number; readonly why: string }
  | { readonly kind: 'result'; readonly tally: TallyParts };
