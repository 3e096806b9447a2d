/** The few semantics that the random sets use, written down once more without an index, a plan or a cache. */

export function evaluateCase(
  effect: string,
  lines: readonly (readonly string[])[],
  subject: string,
  kind: string,
  action: string,
): boolean {
  const matching = lines.filter(
    ([ptype, role = '', object = '', does]) =>
      ptype === 'p' &&
      (role === '*' || reaches(lines, 'g', subject, role)) &&
      reaches(lines, 'g2', kind, object) &&
      does === action,
  );
  const effects = matching.map((fields) => fields.at(-1));
  if (effect.startsWith('priority')) return effects[0] === 'allow';
  return effects.includes('allow') && !(effect.includes('deny') && effects.includes('deny'));
}

function reaches(lines: readonly (readonly string[])[], key: string, name: string, role: string): boolean {
  if (name === role) return true;
  return lines.some(
    ([ptype, child, parent = '']) => ptype === key && child === name && reaches(lines, key, parent, role),
  );
}
