/** Whether a service has all that replicas decided before a time: its pages say how far the log is. */
import { expect, it } from 'vitest';
import { unshippedBefore } from '../../src/cli/sources/log-source.js';
import type { DecisionPage } from '../../src/decision-log/decision-page.js';

const end = Date.parse('2026-11-21T12:00:00.000Z');
const silent = { writer: 7, instance: 'pdp-2' } as NonNullable<DecisionPage['incomplete']>[number];

/** A log whose pages are these, one after the other; the last one again and again. */
function logOf(...pages: Omit<DecisionPage, 'items'>[]) {
  return { search: async () => ({ items: [], ...(pages.length > 1 ? pages.shift() : pages[0]) }) };
}

it.each<[string, Omit<DecisionPage, 'items'>[], string[]]>([
  ['a log of one process', [{}], []],
  ['one that is complete to the time', [{ completeTo: '2026-11-21T12:00:00.000Z' }], []],
  [
    'a replica that runs and ships meanwhile',
    [{ completeTo: '2026-11-21T11:59:59.000Z' }, { completeTo: '2026-11-21T12:00:01.000Z' }],
    [],
  ],
  ['a silent one', [{ completeTo: '2026-11-21T11:00:00.000Z', incomplete: [silent] }], ['7 (pdp-2)']],
  ['a silent one that had shipped all of the time', [{ completeTo: '2026-11-21T12:30:00Z', incomplete: [silent] }], []],
  ['replicas that have all stopped', [{ completeTo: '2026-11-21T11:00:00.000Z' }], []],
  [
    'one that runs and does not come so far',
    [{ completeTo: '2026-11-21T11:00:00.000Z' }, { completeTo: '2026-11-21T11:00:01.000Z' }],
    ['(one that runs, complete to 2026-11-21T11:00:01.000Z)'],
  ],
])('%s', async (_, pages, writers) => {
  expect(await unshippedBefore(logOf(...pages), end, 300)).toEqual(writers);
});
