import { expect, it, onTestFinished, vi } from 'vitest';
import { compilePolicySet, PolicyError } from '../../../src/engine.js';

const model = `[request_definition]
r = sub, obj
[policy_definition]
p = sub, obj
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && regexMatch(r.obj, p.obj)
`;

/** How often a file is split into its lines to tell the places of its faults. */
function splitsFor(faults: number): number {
  const lines = Array.from({ length: faults }, (_, rule) => `p, "s""${rule}", "a""b(${rule}"`);
  const split = vi.spyOn(String.prototype, 'split');
  onTestFinished(() => split.mockRestore());
  try {
    compilePolicySet({
      model,
      rules: [
        { file: 'other.csv', text: 'p, x, y' },
        { file: 'r.csv', text: lines.join('\n') },
      ],
      strict: true,
    });
    throw new Error('it loads');
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    const places = error.problems
      .filter(({ code }) => code === 'bad_pattern')
      .map(({ file, line }) => `${file}:${line}`);
    expect(places).toEqual(lines.map((_, index) => `r.csv:${index + 1}`));
  }
  const calls = split.mock.calls.filter(([by]) => String(by) === '\n').length;
  split.mockRestore();
  return calls;
}

it('a file is read again once for the places of all its faults, however many there are', () => {
  expect(splitsFor(500)).toBe(splitsFor(5));
});
