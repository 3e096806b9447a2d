import fc from 'fast-check';
import { expect, it } from 'vitest';
import { finish, itemsPerStep, sortInSteps } from '../../src/core/steps.js';

it('sorting in steps puts texts where sort() puts them, and pauses', () => {
  // Few letters, one of them beyond the basic plane: many texts are equal, and code units are not code points.
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '\uFF5E', '\u{1F600}'), maxLength: 3 });
  fc.assert(
    fc.property(fc.infiniteStream(text), fc.constantFrom(0, 1, 2, 3, 5), fc.nat(10), (stream, parts, more) => {
      const texts = [...stream.take(Math.max(0, parts * itemsPerStep + (parts > 0 ? more - 5 : more)))];
      expect(finish(sortInSteps(texts))).toEqual([...texts].sort());
    }),
    { numRuns: 10 },
  );
  const steps = [...sortInSteps(Array.from({ length: 5 * itemsPerStep }, (_, n) => `${n % 977}`))];
  expect(steps.length).toBeGreaterThan(10);
});
