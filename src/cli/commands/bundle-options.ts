/** What the commands on bundles share: their keys, the folder that they work on, and how errors end them. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isUrl, whyNotBundleUrl, whyNotKeyPlace } from '../../config/bundle-places.js';
import { parseDuration } from '../../core/duration.js';
import { BundleError } from '../../policy-store/bundle/bundle-error.js';
import { type BundleKeys, readSigningKey, type SigningKey } from '../../policy-store/bundle/bundle-keys.js';
import { BundlePublisher } from '../../policy-store/bundle/bundle-publisher.js';
import type { BundleTransport } from '../../policy-store/bundle/bundle-transport.js';
import { openTransport } from '../../policy-store/bundle/open-transport.js';
import { TrustedKeys } from '../../policy-store/bundle/trusted-keys.js';
import { UsageError } from '../exit-code.js';

export interface KeyOptions {
  readonly key?: string;
  readonly keys?: readonly string[];
  readonly unsigned?: true;
}

export interface PublisherCommandOptions extends KeyOptions {
  readonly to?: string;
  readonly lifetime: string;
  readonly output: 'text' | 'json';
}

const minute = 60_000;
/** Shortest and longest life of an index in milliseconds. */
const [shortestLife, longestLife] = [minute, 366 * 24 * 60 * minute];

/** Opens a folder of bundles by its URL, or by a path. */
export function transportOf(place: string): BundleTransport {
  const url = isUrl(place) ? place : pathToFileURL(resolve(place)).href;
  const fault = whyNotBundleUrl(url);
  if (fault !== undefined) throw new UsageError(`${withoutPassword(url)} ${fault}`);
  try {
    return openTransport(url, process.env);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

export async function publisherOf(options: PublisherCommandOptions): Promise<BundlePublisher> {
  // A URL with a password does not belong among the arguments, which every user of the machine can read.
  const { to = process.env.VERDICT_BUNDLE_URL ?? '', lifetime, unsigned } = options;
  if (to === '') throw new UsageError('say where the bundles lie: --to <url>, or VERDICT_BUNDLE_URL');
  const lifetimeMs = parseDuration(lifetime);
  if (lifetimeMs === undefined || lifetimeMs < shortestLife || lifetimeMs > longestLife) {
    throw new UsageError(`--lifetime ${lifetime} is not a time from 1m to 366d, such as 24h`);
  }
  if (unsigned && (options.key !== undefined || options.keys !== undefined)) {
    throw new UsageError('--unsigned signs nothing: leave --key and --keys out');
  }
  return new BundlePublisher({
    transport: transportOf(to),
    signing: unsigned ? undefined : await signingKeyOf(options),
    keys: await keysOf(options),
    lifetimeMs,
    now: Date.now,
  });
}

/** @throws UsageError without a key */
export async function signingKeyOf({ key }: KeyOptions): Promise<SigningKey> {
  if (key !== undefined) return readSigningKey(await readText(key), key);
  const text = process.env.VERDICT_BUNDLE_SIGNING_KEY ?? '';
  if (text !== '') return readSigningKey(text, 'VERDICT_BUNDLE_SIGNING_KEY');
  const hint = '`openssl genpkey -algorithm ed25519 -out bundle-key.pem` makes one; --unsigned does without';
  throw new UsageError('say which key signs: --key <file>', hint);
}

/** Undefined when none are given. */
export async function keysOf({ keys }: KeyOptions): Promise<BundleKeys | undefined> {
  if (keys === undefined) return undefined;
  for (const place of keys) {
    const fault = whyNotKeyPlace(place);
    if (fault !== undefined) throw new UsageError(`--keys ${fault}`);
  }
  return new TrustedKeys(keys).current();
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}

/** Ends the command with exit code 2 for what the user, or who runs the server, can correct. */
export function asUsageError(error: unknown): never {
  if (error instanceof BundleError) throw new UsageError(`${error.code}: ${error.message}`, error.extra.hint);
  throw error;
}

function withoutPassword(text: string): string {
  return text.replace(/^([a-z0-9+.-]+:\/\/)[^/]*@/i, '$1');
}
