import { UsageError } from '../exit-code.js';
import type { Terminal } from '../print/terminal.js';
import { watchFolders } from '../sources/watch.js';

/** What is printed around a run. */
interface Around {
  readonly first?: () => void;
  /** Before each run but the first. */
  readonly again: () => void;
  /** After a run that had nothing to look at. */
  readonly failed?: () => void;
}

/** Runs a command on policy sets at once, and again whenever a file of them changes; ends with the process. */
export async function runOnChange(
  paths: readonly string[],
  run: () => Promise<number>,
  terminal: Terminal,
  { first, again, failed }: Around,
): Promise<void> {
  // The reader has closed the pipe.
  process.stdout.on('error', () => process.exit());
  let runs = 0;
  for await (const _ of watchFolders(paths)) {
    (runs++ === 0 ? first : again)?.();
    try {
      process.exitCode = await run();
    } catch (error) {
      // A missing folder may come back: git checks out another branch, or an editor writes it again.
      if (!(error instanceof UsageError) || runs === 1) throw error;
      terminal.remark(`verdict: ${error.message}`);
      failed?.();
    }
  }
}
