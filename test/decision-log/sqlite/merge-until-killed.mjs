// Merges the segments of an index in small steps and says each, until it is done or killed. See segment-merge.test.ts.
import { KeyIndex } from '../../../dist/decision-log/sqlite/key-index.js';

const [indexPath, journalPath, writer, end, entries] = process.argv.slice(2);
const index = await KeyIndex.open(indexPath, journalPath, Number(writer), Number(end));
while (await index.mergeAllStep(Number(entries))) process.stdout.write('step\n');
await index.close();
