/** Random changes to a text, so small that much of its meaning stays. */
import fc from 'fast-check';

/** Bits of models, rules and matchers, for edits that hit something. */
export const snippets = fc.constantFrom(
  ...[
    '[matchers]',
    'm = ',
    'm2 = ',
    'p = sub',
    'g = _, _',
    'g = _',
    'e = ',
    'c = sod("a", "b")',
    '\\',
    '\\\n',
    '\n',
    '#',
    ';',
    '=',
    ',',
  ],
  ...[
    '"',
    '""',
    "'",
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    ' ',
    '\t',
    '\r',
    '\u00a0',
    '\uFEFF',
    'é',
    '\u{1F600}',
    '_',
    '.',
    'r.',
    'p.',
    'r.sub',
    'p_',
  ],
  ...[
    '&&',
    '||',
    '!',
    '-',
    '==',
    '=~',
    'in',
    'in (',
    ' ? ',
    ' : ',
    '??',
    '**',
    '<<',
    'true',
    '1',
    '0x',
    '1e5',
    '"2024-01-01"',
    'g(',
    'eval(',
  ],
  ...['p, ', 'g, a, b', 'p2, x', '# ', 'keyMatch(', 'constructor', '__proto__'],
);

export interface Edit {
  readonly at: number;
  readonly remove: number;
  readonly insert: string;
}

export const edits: fc.Arbitrary<Edit[]> = fc.array(
  fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    remove: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, { weight: 2, arbitrary: fc.nat(6) }),
    insert: fc.oneof({ weight: 2, arbitrary: fc.constant('') }, { weight: 5, arbitrary: snippets }),
  }),
  { minLength: 1, maxLength: 4 },
);

/** The text with all changes made, each at its share of the length. */
export function edit(text: string, changes: readonly Edit[]): string {
  return changes.reduce((changed, { at, remove, insert }) => {
    const start = Math.floor(at * changed.length);
    return changed.slice(0, start) + insert + changed.slice(start + remove);
  }, text);
}
