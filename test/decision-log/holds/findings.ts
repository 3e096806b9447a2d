import { openProvenLog } from '../../../src/cli/sources/database.js';
import { verifyLog } from '../../../src/cli/sources/verified-log.js';

/** What is wrong or missing in the log of a database, by the keys that signed in it. */
export async function findingsOf(database: string): Promise<readonly unknown[]> {
  const source = await openProvenLog(database);
  await source.close();
  const { findings } = await verifyLog({ database, keys: source.keys, against: [], depth: 'content' });
  return findings;
}
