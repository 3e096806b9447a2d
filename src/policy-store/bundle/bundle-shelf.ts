/**
 * The bundles that a replica took last, on its own disk: it serves them when it starts while their source is away, and goes
 * back to one of them when it is told to. They are verified again whenever they are read.
 *
 *     state.json                      what was taken, below
 *     sets/invoices/3f9a….tar         an archive, by its digest
 *     sets/invoices/3f9a….tar.jws     its signature, where one is asked for
 *
 * `state.json` has the members
 *
 *     format    1
 *     place     where the bundles came from; those of another place say nothing of this one's numbers
 *     number    of the newest index that was taken: a lower one is an old one
 *     index     SHA-256 of that index
 *     sets      by name, the bundles that are kept, the one that was taken last first; as the index names them, with
 *               `served`: whether it loaded, and so is what a lower revision is measured by; and `semantics`: the number
 *               of the defaults that it served under last
 *     pins      by name, the digest of the bundle that is served in place of the index's, and the digest of the latter
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { currentSemantics, isSemantics, type Semantics } from '../../core/semantics.js';
import { sha256 } from '../../digest/sha-256.js';
import { replacePrivateFile } from '../../files/replace-private-file.js';
import { BundleError } from './bundle-error.js';
import { bundleFormat, readDigest } from './bundle-format.js';
import { type IndexedBundle, readIndexedBundle } from './bundle-index.js';
import type { FetchedBundle } from './fetch-bundle.js';
import { JsonMembers } from './json-members.js';

/** Most bundles of a set that are kept. */
export const keptBundles = 10;

export interface ShelvedBundle {
  readonly bundle: IndexedBundle;
  /** Whether it loaded. */
  readonly served: boolean;
  /** The number of the defaults that it served under last, by which it is read when it is served again. */
  readonly semantics: Semantics;
}

/** A bundle that an operator wants served until the index names another one than now. */
export interface BundlePin {
  readonly digest: string;
  /** What the index named then. */
  readonly over: string;
}

interface ShelfState {
  readonly number: number;
  readonly index: string;
  readonly sets: ReadonlyMap<string, readonly ShelvedBundle[]>;
  readonly pins: ReadonlyMap<string, BundlePin>;
}

const nothing: ShelfState = { number: 0, index: '', sets: new Map(), pins: new Map() };

export class BundleShelf {
  private state: ShelfState = nothing;
  /** What was written last. */
  private saved = '';
  private saving: Promise<unknown> = Promise.resolve();

  /**
   * @param folder is made when something is put there
   * @param place where the bundles come from, without secrets
   */
  constructor(
    private readonly folder: string,
    private readonly place: string,
  ) {}

  /**
   * Reads what was taken; nothing when that was from another place.
   *
   * @throws Error when it cannot be read: then nothing is known of it
   */
  async open(): Promise<void> {
    let text: string;
    try {
      text = await readFile(this.statePath, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      throw error;
    }
    this.state = readState(text, this.place);
  }

  /** The number of the newest index that was taken, 0 when there was none. */
  get number(): number {
    return this.state.number;
  }

  /** Whether an index is the newest that was taken. */
  isNewest(text: string): boolean {
    return sha256([text]) === this.state.index;
  }

  get names(): readonly string[] {
    return [...this.state.sets.keys()];
  }

  /** The bundles of a set, the one that was taken last first. */
  bundlesOf(set: string): readonly ShelvedBundle[] {
    return this.state.sets.get(set) ?? [];
  }

  /** The bundle of a set that loaded last. */
  servedOf(set: string): ShelvedBundle | undefined {
    return this.bundlesOf(set).find(({ served }) => served);
  }

  pinOf(set: string): BundlePin | undefined {
    return this.state.pins.get(set);
  }

  /** Notes the newest index; `save` makes it last. */
  noteIndex(number: number, text: string): void {
    this.state = { ...this.state, number, index: sha256([text]) };
  }

  /** Notes a pin, or that there is none any more; `save` makes it last. */
  notePin(set: string, pin: BundlePin | undefined): void {
    const pins = new Map(this.state.pins);
    pins.delete(set);
    this.state = { ...this.state, pins: pin === undefined ? pins : pins.set(set, pin) };
  }

  /** The bytes of a bundle; undefined when they are not there. */
  async read({ set, digest }: IndexedBundle, isSigned: boolean): Promise<FetchedBundle | undefined> {
    const path = this.archivePath(set, digest);
    try {
      return { archive: await readFile(path), signature: isSigned ? await readFile(`${path}.jws`, 'utf8') : undefined };
    } catch {
      // Damaged or missing, it is fetched again.
      return undefined;
    }
  }

  /** Keeps the bytes of a bundle. */
  async keep({ set, digest }: IndexedBundle, { archive, signature }: FetchedBundle): Promise<void> {
    const path = this.archivePath(set, digest);
    await replace(path, archive);
    if (signature !== undefined) await replace(`${path}.jws`, Buffer.from(signature));
  }

  /** Notes an earlier bundle that is to be pinned, as the one that goes first; `save` makes it last. */
  noteEarlier(bundle: IndexedBundle, semantics: Semantics): void {
    const kept = this.bundlesOf(bundle.set);
    if (kept.some((shelved) => shelved.bundle.digest === bundle.digest)) return;
    const sets = new Map(this.state.sets).set(bundle.set, [...kept, { bundle, served: false, semantics }]);
    this.state = { ...this.state, sets };
  }

  /**
   * Notes the bundle that was taken of a set; `save` makes it last. Of more than `keptBundles` the oldest go, but for the
   * one that loaded last and the one that is pinned.
   *
   * @param isServed whether it loaded, under the defaults of today; that it did earlier is not forgotten
   */
  async noteTaken(bundle: IndexedBundle, isServed: boolean): Promise<void> {
    const { set } = bundle;
    const before = this.bundlesOf(set).find((shelved) => shelved.bundle.digest === bundle.digest);
    const others = this.bundlesOf(set).filter((shelved) => shelved !== before);
    const taken = isServed
      ? { bundle, served: true, semantics: currentSemantics }
      : { bundle, served: before?.served ?? false, semantics: before?.semantics ?? currentSemantics };
    const all = [taken, ...others];
    const needed = [all.find((shelved) => shelved.served)?.bundle.digest, this.pinOf(set)?.digest];
    const kept = all.filter((shelved, at) => at < keptBundles || needed.includes(shelved.bundle.digest));
    this.state = { ...this.state, sets: new Map(this.state.sets).set(set, kept) };
    const names = new Set(kept.map((shelved) => `${hexOf(shelved.bundle.digest)}.tar`));
    const folder = this.folderOf(set);
    for (const file of await readdir(folder).catch(() => [])) {
      if (!names.has(file.replace(/\.jws$/, ''))) await rm(join(folder, file), { force: true });
    }
  }

  /** Forgets a set that the index does not name any more; `save` makes it last. */
  async forget(set: string): Promise<void> {
    const [sets, pins] = [new Map(this.state.sets), new Map(this.state.pins)];
    sets.delete(set);
    pins.delete(set);
    this.state = { ...this.state, sets, pins };
    await rm(this.folderOf(set), { recursive: true, force: true });
  }

  /**
   * Writes what was noted. When this resolves, it holds after a restart, too.
   *
   * @throws the file system's error; what was noted holds for this process then
   */
  save(): Promise<void> {
    const saved = this.saving.then(() => {
      const { number, index, sets, pins } = this.state;
      const members = { number, index, sets: Object.fromEntries(sets), pins: Object.fromEntries(pins) };
      const text = JSON.stringify({ format: bundleFormat, place: this.place, ...members });
      return text === this.saved
        ? undefined
        : replace(this.statePath, Buffer.from(text)).then(() => {
            this.saved = text;
          });
    });
    this.saving = saved.catch(() => undefined);
    return saved;
  }

  private get statePath(): string {
    return join(this.folder, 'state.json');
  }

  private archivePath(set: string, digest: string): string {
    return join(this.folderOf(set), `${hexOf(digest)}.tar`);
  }

  private folderOf(set: string): string {
    return join(this.folder, 'sets', set);
  }
}

function readState(text: string, place: string): ShelfState {
  const refuse = (message: string) =>
    new BundleError('bundle_index_invalid', `what was taken of bundles is unknown: ${message}`);
  const members = JsonMembers.parse(text, 'state.json', refuse);
  if (members.integer('format', 1) !== bundleFormat) throw refuse('it is of another version of Verdict');
  if (members.text('place', /^/, 'a place') !== place) return nothing;
  const sets = new Map<string, readonly ShelvedBundle[]>();
  for (const [name, list] of members.entries('sets')) {
    if (!Array.isArray(list)) throw refuse('the bundles of a set are not a list');
    sets.set(
      name,
      list.map((value, at) => readShelved(value, `bundle ${at + 1} of ${name}`, refuse)),
    );
  }
  const pins = new Map<string, BundlePin>();
  for (const [name, value] of members.entries('pins')) {
    const pin = new JsonMembers(value, `the pin of ${name}`, refuse);
    pins.set(name, { digest: readDigest(pin, 'digest'), over: readDigest(pin, 'over') });
  }
  return { number: members.integer('number', 0), index: members.text('index', /^[0-9a-f]*$/, 'a digest'), sets, pins };
}

function readShelved(value: unknown, what: string, refuse: (message: string) => Error): ShelvedBundle {
  const members = new JsonMembers(value, what, refuse);
  const bundle = readIndexedBundle(members.any('bundle'), what, refuse);
  const served = members.flag('served');
  const semantics = members.integer('semantics', 1);
  if (!isSemantics(semantics)) throw refuse(`${what} is meant under semantics ${semantics}`);
  return { bundle, served, semantics };
}

async function replace(path: string, content: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await replacePrivateFile(path, content);
}

function hexOf(digest: string): string {
  return digest.slice('sha256:'.length);
}
