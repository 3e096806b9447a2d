/** True for a name that a header can have (RFC 9110, section 5.1). */
export function isHeaderName(text: string): boolean {
  return /^[!#$%&'*+.^`|~\w-]+$/.test(text);
}
