/**
 * Signed notes (C2SP signed-note, https://c2sp.org/signed-note): a text with lines, an empty line, and signatures by Ed25519.
 *
 *     verdict/0f3c…
 *     2048
 *     q83v…=
 *
 *     — verdict-replica 8Zr1…
 */
import { createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto';

const ed25519 = 1;
const idBytes = 4;
/** What precedes a raw public key in its SPKI form (RFC 8410). */
const spkiPrefix = Buffer.from('302a300506032b6570032100', 'hex');
const signatureMark = '\u2014 ';

export interface NoteKey {
  readonly name: string;
  /** The raw public key, in base64 with the kind of signature before it, after name and id: `name+id+key`. */
  readonly text: string;
  readonly id: Buffer;
  readonly key: KeyObject;
}

export interface NoteSigner extends NoteKey {
  readonly privateKey: KeyObject;
}

/** A name has neither blanks nor `+`. */
export function noteSigner(name: string, privateKey: KeyObject): NoteSigner {
  const key = createPublicKey(privateKey);
  const raw = key.export({ type: 'spki', format: 'der' }).subarray(spkiPrefix.length);
  return { ...noteKey(name, raw), privateKey };
}

/** Reads `name+id+key`; undefined for a text of another form, or whose id is not that of the key. */
export function readNoteKey(text: string): NoteKey | undefined {
  const [, name, id, body] = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/.exec(text) ?? [];
  if (name === undefined || id === undefined || body === undefined) return undefined;
  const bytes = Buffer.from(body, 'base64');
  if (bytes.length !== 33 || bytes[0] !== ed25519) return undefined;
  const key = noteKey(name, bytes.subarray(1));
  return key.id.toString('hex') === id ? key : undefined;
}

function noteKey(name: string, raw: Buffer): NoteKey {
  const body = Buffer.concat([Buffer.from([ed25519]), raw]);
  const digest = hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), body]), 'buffer');
  const id = digest.subarray(0, idBytes);
  const key = createPublicKey({ key: Buffer.concat([spkiPrefix, raw]), format: 'der', type: 'spki' });
  return { name, id, key, text: `${name}+${id.toString('hex')}+${body.toString('base64')}` };
}

/** @param text ends with a line feed, and has no empty line */
export function signNote(text: string, signers: readonly NoteSigner[]): string {
  const lines = signers.map(({ name, id, privateKey }) => {
    const signature = Buffer.concat([id, sign(null, Buffer.from(text), privateKey)]);
    return `${signatureMark}${name} ${signature.toString('base64')}\n`;
  });
  return `${text}\n${lines.join('')}`;
}

export interface OpenNote {
  readonly text: string;
  /** The keys, of those that were given, whose signature is right. */
  readonly signers: readonly NoteKey[];
}

/**
 * Reads a note. A signature by another key than these is passed over, as the specification asks; a wrong one by one of these
 * makes the whole note wrong.
 *
 * @returns undefined for a text of another form, or with a wrong signature
 */
export function openNote(note: string, keys: readonly NoteKey[]): OpenNote | undefined {
  const split = note.lastIndexOf('\n\n');
  if (split === -1 || !note.endsWith('\n')) return undefined;
  const text = note.slice(0, split + 1);
  const signers: NoteKey[] = [];
  for (const line of note.slice(split + 2, -1).split('\n')) {
    const [, name, body] = /^\u2014 ([^\s+]+) ([A-Za-z0-9+/]+=*)$/.exec(line) ?? [];
    if (name === undefined || body === undefined) return undefined;
    const bytes = Buffer.from(body, 'base64');
    // Base64 has several texts for the same bytes; a note has one.
    if (bytes.toString('base64') !== body) return undefined;
    const key = keys.find((each) => each.name === name && each.id.equals(bytes.subarray(0, idBytes)));
    if (key === undefined) continue;
    if (!verify(null, Buffer.from(text), key.key, bytes.subarray(idBytes))) return undefined;
    signers.push(key);
  }
  return { text, signers };
}
