/**
 * The keys that sign checkpoints.
 *
 * Each replica has its own, made at its first start beside its data (`<database>.log-key.pem`, readable by its owner alone).
 * Such a key proves damage, and not that nobody who can read it changed the log. The fleet's key (`VERDICT_LOG_SIGNING_KEY`) lies
 * elsewhere and certifies the replica's.
 *
 * Where a file holds several keys, the first one signs, and each of the others certifies it: so a key is replaced by putting
 * a new one before it. A certificate is a signed note:
 *
 *     verdict key
 *     verdict-replica+8Zr1…+Ac3f…
 *
 *     — verdict-fleet …
 */
import { generateKeyPairSync } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, parse } from 'node:path';
import { ed25519KeysIn } from '../../config/signing-keys.js';
import { replacePrivateFile } from '../../files/replace-private-file.js';
import { type NoteKey, type NoteSigner, noteSigner, openNote, readNoteKey, signNote } from './signed-note.js';

/** A public key, with what certifies it. */
export interface CertifiedKey {
  /** `name+id+key`, as C2SP signed-note writes public keys. */
  readonly key: string;
  /** Signed notes. */
  readonly certificates: readonly string[];
}

export interface LogKeys {
  /** Signs this replica's checkpoints. */
  readonly signer: NoteSigner;
  /** Signs those of the fleet; undefined without a key of the fleet. */
  readonly fleet: NoteSigner | undefined;
  /** The signer's key first, then the fleet's, then those that these replaced. */
  readonly published: readonly CertifiedKey[];
}

const replicaName = 'verdict-replica';
const fleetName = 'verdict-fleet';

/** `data/verdict.sqlite` → `data/verdict.log-key.pem` */
export function logKeyPathOf(databasePath: string): string {
  const { dir, name } = parse(databasePath);
  return `${dir === '' ? '.' : dir}/${name}.log-key.pem`;
}

/**
 * Reads the replica's keys, or makes one.
 *
 * @param fleetKeys private keys of the fleet, PEM
 * @throws when a text has something else than Ed25519 keys in PEM
 */
export async function openLogKeys(path: string, fleetKeys?: string): Promise<LogKeys> {
  const fleet = fleetKeys === undefined ? [] : signersIn(fleetKeys, fleetName, 'VERDICT_LOG_SIGNING_KEY');
  const own = signersIn(await readOrMake(path), replicaName, path);
  const [signer, ...formerOwn] = own as [NoteSigner, ...NoteSigner[]];
  const [current, ...formerFleet] = fleet;
  const ofFleet = current === undefined ? [] : [certified(current, formerFleet)];
  const former = [...formerOwn, ...formerFleet].map((key) => certified(key, []));
  return {
    signer,
    fleet: current,
    published: [certified(signer, [...formerOwn, ...(current === undefined ? [] : [current])]), ...ofFleet, ...former],
  };
}

async function readOrMake(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  // As a database is made with its folder.
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' });
  await replacePrivateFile(path, Buffer.from(pem));
  return String(pem);
}

/** @throws with the place, and nothing of the text */
function signersIn(text: string, name: string, place: string): NoteSigner[] {
  const keys = ed25519KeysIn(text);
  if (keys === undefined) throw new Error(`${place} must hold Ed25519 private keys in PEM, and nothing else`);
  return keys.map((key) => noteSigner(name, key));
}

function certified({ text }: NoteSigner, by: readonly NoteSigner[]): CertifiedKey {
  return { key: text, certificates: by.map((signer) => signNote(`verdict key\n${text}\n`, [signer])) };
}

/**
 * Each key once, with all that certifies it anywhere: what a key certified counts after it was replaced, and is not used any
 * more. In the order in which they come.
 */
export function mergedKeys(keys: Iterable<CertifiedKey>): CertifiedKey[] {
  const merged = new Map<string, Set<string>>();
  for (const { key, certificates } of keys) {
    const known = merged.get(key) ?? new Set();
    merged.set(key, known);
    for (const certificate of certificates) known.add(certificate);
  }
  return [...merged].map(([key, certificates]) => ({ key, certificates: [...certificates] }));
}

/**
 * The keys that count when these are trusted: they, and those of `others` that one of them certifies, at once or through
 * others of these.
 */
export function trustedKeys(trusted: readonly CertifiedKey[], others: readonly CertifiedKey[] = []): NoteKey[] {
  const keys = trusted.flatMap(({ key }) => readNoteKey(key) ?? []);
  for (let isGrowing = true; isGrowing; ) {
    isGrowing = false;
    for (const { key: text, certificates } of others) {
      const key = readNoteKey(text);
      if (key === undefined || keys.some((known) => known.text === key.text)) continue;
      const isCertified = certificates.some((note) => {
        const open = openNote(note, keys);
        return open !== undefined && open.signers.length > 0 && open.text === `verdict key\n${text}\n`;
      });
      if (!isCertified) continue;
      keys.push(key);
      isGrowing = true;
    }
  }
  return keys;
}
