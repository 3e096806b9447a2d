/** Whether a text is a W3C `traceparent`. */
export function isTraceparent(text: string | undefined): boolean {
  return /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/.test(text ?? '');
}
