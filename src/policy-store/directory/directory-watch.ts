import { setTimeout as delay } from 'node:timers/promises';
import type { PolicyProblem } from '../../core/problem.js';
import { ChangeSignal } from './change-signal.js';
import type { FolderScan, PolicyDirectory } from './policy-directory.js';

/** Changes that two looks at the directory agree on. */
export interface DirectoryChanges {
  /** Why the directory cannot be trusted. The other members are empty then. */
  readonly problem?: PolicyProblem;
  /** Sets whose folder is new or has changed, and is at rest. */
  readonly changed: readonly FolderScan[];
  /** Sets whose folder is not there any more. */
  readonly gone: readonly string[];
  /** Sets whose folder changed between the two looks. */
  readonly restless: readonly string[];
  /** False when the two looks did not agree on everything, so that another is due soon. */
  readonly atRest: boolean;
}

const noChanges: DirectoryChanges = Object.freeze({ changed: [], gone: [], restless: [], atRest: true });

/** Watches a directory of policy sets, by file events and regular looks. */
export class DirectoryWatch {
  private readonly signal = new ChangeSignal(() => this.note());
  /** True if an event came while nothing waited for one. */
  private noted = false;
  private wake: (() => void) | undefined;

  /** `settleMs` lie between the two looks that must agree. */
  constructor(
    private readonly source: PolicyDirectory,
    private readonly settleMs: number,
  ) {}

  /**
   * Finds changes since `known`: sets by name, with the fingerprint of the folder that was handled last. When nothing
   * changed this is one look; otherwise it takes `settleMs` and a second look.
   */
  async changes(
    known: ReadonlyMap<string, string | undefined>,
    forced: (name: string) => boolean,
  ): Promise<DirectoryChanges> {
    const first = await this.look(known);
    const names =
      'problem' in first
        ? []
        : [...new Set([...first.sets.keys(), ...known.keys()])].filter(
            (name) =>
              forced(name) || known.get(name) === undefined || first.sets.get(name)?.fingerprint !== known.get(name),
          );
    if (!('problem' in first) && names.length === 0) return noChanges;

    await delay(this.settleMs);
    const second = await this.look(known);
    if ('problem' in first || 'problem' in second) {
      const same = 'problem' in first && 'problem' in second && first.problem.code === second.problem.code;
      return same ? { ...noChanges, problem: second.problem } : { ...noChanges, atRest: false };
    }
    const changed: FolderScan[] = [];
    const gone: string[] = [];
    const restless: string[] = [];
    for (const name of names) {
      const [before, now] = [first.sets.get(name), second.sets.get(name)];
      if (before === undefined && now === undefined) gone.push(name);
      else if (now !== undefined && before?.fingerprint === now.fingerprint) changed.push(now);
      else restless.push(name);
    }
    return { changed, gone, restless, atRest: restless.length === 0 };
  }

  /** Resolves when a file event comes, or came since it was last asked; after `ms`; or when the watch is closed. */
  async changeOrTimeout(ms: number): Promise<void> {
    const waiting = new AbortController();
    this.wake = () => waiting.abort();
    if (!this.noted) await delay(ms, undefined, { signal: waiting.signal }).catch(() => undefined);
    this.wake = undefined;
    this.noted = false;
  }

  close(): void {
    this.signal.close();
    this.note();
  }

  private note(): void {
    this.noted = true;
    this.wake?.();
  }

  /** Folders that are or were policy sets: a folder whose model is missing for a moment is not removed. */
  private async look(
    known: ReadonlyMap<string, unknown>,
  ): Promise<{ readonly sets: ReadonlyMap<string, FolderScan> } | { readonly problem: PolicyProblem }> {
    const scan = await this.source.scan();
    if (!scan.readable) return { problem: scan.problem };
    const sets = new Map([...scan.folders].filter(([name, { hasModel }]) => hasModel !== false || known.has(name)));
    this.signal.watch([this.source.root, ...[...sets.values()].map(({ path }) => path)]);
    return sets.size === 0 ? { problem: emptyDirectory } : { sets };
  }
}

const emptyDirectory: PolicyProblem = Object.freeze({
  severity: 'error',
  code: 'policy_dir_empty',
  message: 'there is no policy set in the policy directory',
  file: '.',
  line: 1,
  column: 1,
  hint: 'each folder with a model.conf is a policy set; see VERDICT_POLICY_DIR',
});
