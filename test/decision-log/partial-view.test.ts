import { expect, it } from 'vitest';
import { gapForSome } from '../../src/decision-log/partial-view.js';

it('who may read some policy sets alone sees that records are missing, and neither where nor how many of all', () => {
  const times = { from: '2026-03-01T00:00:00.000Z', to: '2026-03-01T00:00:01.000Z', cause: 'queue_full' } as const;
  expect(gapForSome({ after: 1_000, lost: 57, ...times })).toEqual({ lost: null, ...times });
});
