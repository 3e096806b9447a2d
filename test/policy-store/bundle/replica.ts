/** A replica for tests: a store that serves bundles, and a transport whose answers a test can change. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { BundleShelf } from '../../../src/policy-store/bundle/bundle-shelf.js';
import { BundleSource, type BundleSourceOptions } from '../../../src/policy-store/bundle/bundle-source.js';
import {
  BundleTransport,
  type FetchedFile,
  type GetOptions,
} from '../../../src/policy-store/bundle/bundle-transport.js';
import { TrustedKeys } from '../../../src/policy-store/bundle/trusted-keys.js';
import type { PolicyStoreOptions } from '../../../src/policy-store/policy-store-options.js';
import { temporaryDirectory } from '../folders.js';
import { newStore, type TestStore } from '../store.js';

/** Notes what is asked, and answers otherwise where a test says so. */
export class WatchedTransport extends BundleTransport {
  readonly asked: string[] = [];
  /** Throws, or gives another answer; undefined for the true one. */
  fault: ((path: string, options: GetOptions) => FetchedFile | Promise<never> | undefined) | undefined;

  constructor(private readonly inner: BundleTransport) {
    super();
  }

  get place(): string {
    return this.inner.place;
  }

  async get(path: string, options: GetOptions): Promise<FetchedFile | 'unchanged'> {
    this.asked.push(path);
    return (await this.fault?.(path, options)) ?? this.inner.get(path, options);
  }

  async put(): Promise<void> {
    throw new Error('a replica writes nothing');
  }
}

/** Keys that are slow to come once, as those of a JWKS can be. */
export class SlowKeys extends TrustedKeys {
  /** What the next reading waits for. */
  wait: Promise<void> | undefined;

  override async current(): ReturnType<TrustedKeys['current']> {
    const { wait } = this;
    this.wait = undefined;
    await wait;
    return super.current();
  }
}

export interface Replica extends TestStore {
  readonly source: BundleSource;
  readonly transport: WatchedTransport;
  readonly keys: SlowKeys;
  /** Where it keeps what it took. */
  readonly shelf: string;
  /** The file of its keys, which may be written anew; empty without keys. */
  readonly keyFile: string;
  /** What it could not keep, and defects. */
  readonly complaints: string[];
}

export interface ReplicaOptions extends Partial<Omit<BundleSourceOptions, 'keys' | 'shelf'>> {
  /** Public keys in PEM; without them nothing has to be signed. */
  readonly keys?: string;
  /** The folder of a replica that ran before; by default an empty one. */
  readonly shelf?: string;
  readonly store?: Partial<PolicyStoreOptions>;
}

/** A replica that has started. It looks again only when it is told to, by `reload`, unless `pollMs` says otherwise. */
export async function startedReplica(from: BundleTransport, options: ReplicaOptions = {}): Promise<Replica> {
  const { keys, shelf = join(temporaryDirectory(), 'bundles'), store: storeOptions, ...others } = options;
  const transport = new WatchedTransport(from);
  const complaints: string[] = [];
  const keyFile = keys === undefined ? '' : fileOf(keys);
  const trusted = new SlowKeys([keyFile]);
  const source = new BundleSource({
    transport,
    keys: keys === undefined ? undefined : trusted,
    shelf: new BundleShelf(shelf, transport.place),
    pollMs: 3_600_000,
    onProblem: (what, error) => complaints.push(`${what}: ${error}`),
    ...others,
  });
  const made = newStore('', { source, ...storeOptions });
  await made.store.start();
  return { ...made, source, transport, keys: trusted, shelf, keyFile, complaints };
}

function fileOf(pem: string): string {
  const path = join(temporaryDirectory(), 'keys.pem');
  writeFileSync(path, pem);
  return path;
}
