/** Fetches an index, or the bundle that an index names, and lets through only what is what it should be. */
import { defaultSourceLimits, type SourceLimits } from '../source-limits.js';
import { digestOfArchive, largestArchive, type OpenedBundle, openBundle } from './bundle.js';
import { BundleError } from './bundle-error.js';
import {
  type BundleIndex,
  type IndexedBundle,
  indexPath,
  maxIndexBytes,
  readIndex,
  signatureAddress,
} from './bundle-index.js';
import type { BundleKeys } from './bundle-keys.js';
import { maxSignatureBytes, unsignedHint, verifiedIndex, verifyArchive } from './bundle-signature.js';
import type { BundleTransport } from './bundle-transport.js';

/** Time for an index or a signature in milliseconds. */
const smallFileTimeoutMs = 10_000;
/** Time for an archive in milliseconds. */
const archiveTimeoutMs = 120_000;

export interface FetchedIndex {
  readonly index: BundleIndex;
  /** What is signed: the same text is the same index, by whichever key. */
  readonly text: string;
  /** Whether it has a signature, looked at or not. */
  readonly isSigned: boolean;
  readonly etag: string | undefined;
}

/** The bytes of an archive and of its signature, as they are kept on disk. */
export interface FetchedBundle {
  readonly archive: Buffer;
  /** Undefined where no signature is asked for. */
  readonly signature: string | undefined;
}

/** @param keys undefined: nothing has to be signed */
export async function fetchIndex(
  transport: BundleTransport,
  keys: BundleKeys | undefined,
  options: { readonly etag?: string | undefined; readonly signal?: AbortSignal } = {},
): Promise<FetchedIndex | 'unchanged'> {
  const found = await transport.get(indexPath, { maxBytes: maxIndexBytes, timeoutMs: smallFileTimeoutMs, ...options });
  if (found === 'unchanged') return found;
  const { text, isSigned } = await verifiedIndex(found.bytes.toString('utf8'), keys);
  return { index: readIndex(text), text, isSigned, etag: found.etag };
}

/**
 * Fetches an archive, with its signature where that is asked for. Nothing of it is
 * checked but its size: `openVerified` does that.
 */
export async function fetchBundle(
  transport: BundleTransport,
  indexed: IndexedBundle,
  isSigned: boolean,
  { limits = defaultSourceLimits, signal }: { readonly limits?: SourceLimits; readonly signal?: AbortSignal } = {},
): Promise<FetchedBundle> {
  const { address, set, size } = indexed;
  const most = largestArchive(limits);
  if (size > most) {
    throw new BundleError('bundle_too_large', `the bundle of ${set} has ${size} bytes; ${most} are allowed`);
  }
  const common = signal === undefined ? {} : { signal };
  const signature = isSigned ? await fetchSignature(transport, indexed, common) : undefined;
  const options = { ...common, maxBytes: size, timeoutMs: archiveTimeoutMs };
  const found = await transport.get(address, options);
  return { archive: found === 'unchanged' ? Buffer.alloc(0) : found.bytes, signature };
}

/**
 * Opens a bundle if it is the one that the index names and its signature counts.
 *
 * @param keys undefined: nothing has to be signed
 * @throws BundleError
 */
export async function openVerified(
  { archive, signature }: FetchedBundle,
  indexed: IndexedBundle,
  keys: BundleKeys | undefined,
  limits: SourceLimits = defaultSourceLimits,
): Promise<OpenedBundle> {
  const { set, revision, version } = indexed;
  await requireDigest(archive, indexed);
  if (keys !== undefined) {
    if (signature === undefined) throw unsigned(set);
    await verifyArchive(archive, signature, keys, set);
  }
  const opened = openBundle(archive, set, limits);
  const { manifest } = opened;
  if (manifest.set !== set || manifest.revision !== revision || manifest.version !== version) {
    const found = `the set ${manifest.set}, revision ${manifest.revision}, version ${manifest.version}`;
    throw new BundleError(
      'bundle_manifest_invalid',
      `the index names ${set}, revision ${revision}; the bundle is ${found}`,
    );
  }
  return opened;
}

async function fetchSignature(
  transport: BundleTransport,
  { address, set }: IndexedBundle,
  options: { readonly signal?: AbortSignal },
): Promise<string> {
  try {
    const limits = { maxBytes: maxSignatureBytes, timeoutMs: smallFileTimeoutMs };
    const found = await transport.get(signatureAddress(address), { ...options, ...limits });
    return found === 'unchanged' ? '' : found.bytes.toString('utf8');
  } catch (error) {
    if (error instanceof BundleError && error.code === 'bundle_missing') throw unsigned(set);
    throw error;
  }
}

async function requireDigest(archive: Buffer, { set, digest }: IndexedBundle): Promise<void> {
  const found = await digestOfArchive(archive);
  if (found === digest) return;
  throw new BundleError(
    'bundle_digest_mismatch',
    `the index names ${digest} as the bundle of ${set}; ${found} was found`,
  );
}

function unsigned(set: string): BundleError {
  return new BundleError('bundle_unsigned', `the bundle of ${set} is not signed`, { hint: unsignedHint });
}
