/** By which the server behind a gateway, or its client, is told of the decision, and of whom it is. */
export const decisionIdHeader = 'x-verdict-decision-id';
export const subjectHeader = 'x-verdict-subject';

/** Percent-encodes everything but printable ASCII without `%`, so that decoding gives the text back. */
export function headerText(text: string): string {
  // A lone surrogate, which a token can hold, cannot be encoded.
  const wellFormed = Buffer.from(text).toString();
  return wellFormed.replace(/[^\x21-\x24\x26-\x7e]+/g, encodeURIComponent);
}
