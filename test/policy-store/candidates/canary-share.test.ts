import { describe, expect, it } from 'vitest';
import { isInShare } from '../../../src/policy-store/candidates/canary-share.js';

const subjects = Array.from({ length: 100_000 }, (_, n) => `subject-${n}`);

describe('the share of a canary', () => {
  it.each([0.001, 0.05, 0.5, 0.9])('is right within one percent of the subjects: %d', (share) => {
    const inside = subjects.filter((id) => isInShare('invoices', 'user', id, share)).length;
    expect(Math.abs(inside / subjects.length - share)).toBeLessThan(0.01);
  });

  it('is nobody at 0 and everybody at 1', () => {
    expect(subjects.some((id) => isInShare('invoices', 'user', id, 0))).toBe(false);
    expect(subjects.every((id) => isInShare('invoices', 'user', id, 1))).toBe(true);
  });

  it('has whom a smaller one has', () => {
    const lost = subjects.filter(
      (id) => isInShare('invoices', 'user', id, 0.05) && !isInShare('invoices', 'user', id, 0.1),
    );
    expect(lost).toEqual([]);
  });

  it('is another one for another set, and for another type; a type is no part of an id', () => {
    const both = (a: string | undefined, b: string | undefined, setB = 'invoices') =>
      subjects.filter((id) => isInShare('invoices', a, id, 0.1) && isInShare(setB, b, id, 0.1)).length /
      subjects.length;
    expect(both('user', 'user', 'orders')).toBeLessThan(0.02);
    expect(both('user', 'device')).toBeLessThan(0.02);
    expect(both(undefined, 'null')).toBeLessThan(0.02);
  });
});
