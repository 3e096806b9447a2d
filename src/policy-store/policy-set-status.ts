import type { PolicyProblem } from '../core/problem.js';

/** What an operator sees of a policy set. */
export interface PolicySetStatus {
  readonly name: string;
  /**
   * `active`: what its folder holds is served, or what was pinned. `stale`: its folder cannot be loaded, an earlier version
   * is served. `failed`: nothing is served.
   */
  readonly state: 'active' | 'stale' | 'failed';
  /** When it came into this state, or to this version if that was later; RFC 3339. */
  readonly since: string;
  /** The version that is served; undefined when there is none. */
  readonly version: string | undefined;
  /** Since when this process serves that version; RFC 3339. */
  readonly servedSince: string | undefined;
  readonly engine: 'verdict' | 'casbin' | undefined;
  readonly description: string | undefined;
  /** The version of what its folder holds, where that could be read. */
  readonly folderVersion: string | undefined;
  /** Whether a rollback holds `version` until the folder's version changes. */
  readonly pinned: boolean;
  /** Why the folder's content is not served; and warnings about what is. The first hundred of them. */
  readonly problems: readonly PolicyProblem[];
  /** How many there are. */
  readonly problemCount: number;
}
