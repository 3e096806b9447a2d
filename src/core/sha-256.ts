/** The SHA-256 digest of the parts put together, as 64 hexadecimal digits. A text stands for its UTF-8 bytes. */
export type Sha256 = (parts: Iterable<string | Uint8Array>) => string;
