/**
 * Names whose values are masked unless they are booleans or null: `password`, `X-Api-Key`, `access_token`,
 * `clientSecret`, `Authorization`, `session cookie`. Letter case, dashes, dots, underscores and spaces do not matter.
 */
const secret =
  /passw(or)?d|passphrase|secret(?!ar)|token|authori[sz]ation|apikey|privatekey|accesskey|cookie|credential/;

/** Names repeat from request to request. Callers choose them, so the number that is kept is bounded. */
const known = new Map<string, boolean>();
const knownLimit = 4_096;

export function secretName(name: string): boolean {
  const answer = known.get(name);
  if (answer !== undefined) return answer;
  const found = secret.test(name.toLowerCase().replace(/[-_. ]/g, ''));
  if (known.size >= knownLimit) known.clear();
  known.set(name, found);
  return found;
}
