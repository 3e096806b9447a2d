// Begins a removal that never ends, and says so. See kill.test.ts.
import { openHolds } from '../../../dist/cli/sources/database.js';

const holds = await openHolds(process.argv[2]);
await holds.guard(async () => {
  process.stdout.write('removes\n');
  await new Promise((resolve) => setTimeout(resolve, 3_600_000));
});
