/** What JSON writes otherwise than it stands in a text, and all that may be half of a character. */
const odd = /["\\\u0000-\u001f\ud800-\udfff]/;

/** Whether a text may be another as JSON; few are. */
export function isEscaped(text: string): boolean {
  return odd.test(text);
}

/** A text as JSON writes it; without a call of `JSON.stringify` where nothing in it needs one. */
export function jsonText(text: string): string {
  return odd.test(text) ? JSON.stringify(text) : `"${text}"`;
}
