/** What every decision log must do, wherever its records are kept. */
import { describe } from 'vitest';
import { describeConditions } from './condition-suite.js';
import { describeExports } from './export-suite.js';
import { describeLocalRecords } from './local-suite.js';
import type { MakeLogHome } from './log-home.js';
import { describeRecording } from './recording-suite.js';
import { describeSearches } from './search-suite.js';
import { describeCounts } from './stats-suite.js';
import { describeStreams } from './stream-suite.js';

/** Runs the suite; `newHome` makes a place for logs that holds nothing yet. */
export function describeDecisionLog(name: string, newHome: MakeLogHome): void {
  describe(`the decision log in ${name}`, () => {
    describeRecording(newHome);
    describeSearches(newHome);
    describeConditions(newHome);
    describeExports(newHome);
    describeCounts(newHome);
    describeStreams(newHome);
    describeLocalRecords(newHome);
  });
}
