import { timingSafeEqual } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { formatProblem, PolicyError } from '../core/problem.js';
import { isAway } from '../database/database-error.js';
import { digestOf, environmentOf } from './api-key.js';
import type { Credential } from './api-key-entry.js';
import { type DeclaredCaller, declaredNames, readApiKeyFile } from './api-key-file.js';
import { type CredentialTable, credentialTableOf } from './credential-table.js';
import type { KeysCopy } from './keys-copy.js';
import type { ManagedKey, ManagedKeys, ManagedKeysWatch } from './managed-keys.js';

/** Why a key is refused. The operator sees it, the caller does not. */
export type KeyRefusal = 'malformed' | 'unknown' | 'expired' | 'other_environment' | 'other_address' | 'unconfirmed';

export interface ApiKeysLog {
  info(details: object, message: string): void;
  error(details: object, message: string): void;
}

export interface ApiKeysOptions {
  /** `VERDICT_ENV`: only keys of this environment are accepted. */
  readonly environment?: string;
  /** The file of declared callers. */
  readonly file?: string;
  readonly managed: ManagedKeys;
  readonly log: ApiKeysLog;
  /** Where the managed keys are kept for a start while their database is away. */
  readonly copy?: KeysCopy;
  /**
   * Longest time, in milliseconds, for which managed keys are good while nobody can say whether they were revoked
   * (`VERDICT_KEYS_MAX_AGE`, without end by default).
   */
  readonly maxAgeMs?: number;
  /** Milliseconds between two looks at the file and the database. A revocation must hold within a second. */
  readonly pollMs?: number;
}

const lastUseStepMs = 60_000;
/** Last uses are written together, so often at most, in milliseconds. */
const saveUsesMs = 5_000;
const maxTokenNames = 10_000;

/** What is known of the managed keys. */
export interface ManagedKeysState {
  /** Where they were read; `nowhere`: only declared keys are accepted. */
  readonly from: 'database' | 'copy' | 'nowhere';
  /** How long ago they were known to be all, in milliseconds. */
  readonly ageMs: number;
  /** Whether that is too long ago, so that they are refused. */
  readonly isTooOld: boolean;
}

/**
 * Every valid API key in memory, from the declared file and the database. The file is looked at twice a second, as is a
 * database that tells of no changes itself, so a key that was revoked anywhere is refused within a second, and no request
 * waits for file or database.
 */
export class ApiKeys {
  private table: CredentialTable = { byDigest: new Map(), byCertificate: new Map() };
  private declared: readonly DeclaredCaller[] = [];
  /** Managed keys that are refused since the file declares their names. */
  private hidden: readonly string[] = [];
  /** Names in lower case. The oldest are removed if there are too many. */
  private readonly tokenNames = new Set<string>();
  private fileStamp = '';
  private databaseChanges = -1;
  /** The managed keys as they were read last; undefined until then. */
  private managed: readonly ManagedKey[] | undefined;
  private managedFrom: ManagedKeysState['from'] = 'nowhere';
  /** When those were all that there are, in milliseconds since 1970; from `goodUntil` on they are refused. */
  private confirmed = Number.NEGATIVE_INFINITY;
  private goodUntil = Number.POSITIVE_INFINITY;
  private watch: ManagedKeysWatch | undefined;
  private readonly lastUses = new Map<string, number>();
  private unsavedUses = new Map<string, number>();
  private usesSaved = Number.NEGATIVE_INFINITY;
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> = Promise.resolve();
  private saving: Promise<void> = Promise.resolve();
  /** Numbers of the readings of the managed keys: of the newest that began, and of the newest that brought them. */
  private readings = 0;
  private read = 0;

  constructor(private readonly options: ApiKeysOptions) {}

  /**
   * Reads both sources and begins to watch them. While the server of the database is away, the managed keys are those of
   * the copy, if that is not too old.
   *
   * @throws PolicyError if the declared file is wrong, or the file system's error if it cannot be read
   */
  async start(): Promise<void> {
    await this.readFileIfChanged();
    await this.readManagedAtStart();
    this.makeTable();
    this.watch = this.options.managed.watch(() => this.readManaged());
    this.timer = setInterval(() => void this.lookAgain(), this.options.pollMs ?? 400);
    this.timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.watch?.end();
    await Promise.all([this.looking, this.saving]);
    await this.saveUses();
  }

  /** False while the managed keys could not be read once since the start. */
  get knowsManaged(): boolean {
    return this.managed !== undefined;
  }

  /** @param now milliseconds since 1970 */
  managedState(now: number): ManagedKeysState {
    return { from: this.managedFrom, ageMs: now - this.confirmed, isTooOld: now >= this.goodUntil };
  }

  /** True if a key or certificate exists that could authenticate a caller now. */
  hasUsable(now: number): boolean {
    const { byDigest, byCertificate } = this.table;
    return [...byDigest.values(), ...byCertificate.values()].some(
      ({ expires, source }) => expires > now && (source === 'declared' || now < this.goodUntil),
    );
  }

  /**
   * Finds the credential of a key. A refused key also costs one hash and one look-up; the time of the look-up depends
   * on the digest of the guess and tells nothing about a key.
   *
   * @param name given with HTTP Basic: the key must be the one of that name
   */
  authenticate(key: string, address: string, now: number, name?: string): Credential | KeyRefusal {
    const digest = digestOf(key);
    const credential = this.table.byDigest.get(digest);
    if (credential === undefined) return this.whyUnknown(key);
    // The environment is checked in the key's text, since a digest does not show it.
    const { environment } = this.options;
    if (environment !== undefined && !key.startsWith(`vd_${environment}_`)) return this.whyUnknown(key);
    if (name !== undefined && !sameText(name, credential.key.name)) return 'unknown';
    const refusal = this.whyNow(credential, address, now);
    if (refusal !== undefined) return refusal;
    this.noteUse(digest, credential, now);
    return credential;
  }

  /** As `authenticate`, for the digest of a key that was presented earlier. */
  recheck(digest: string, address: string, now: number): Credential | KeyRefusal {
    const credential = this.table.byDigest.get(digest);
    return credential === undefined ? 'unknown' : (this.whyNow(credential, address, now) ?? credential);
  }

  /**
   * True if a name belongs to a caller that is not a managed key: a declared caller, a declared certificate, or a token
   * that was verified lately. Upper and lower case are not distinguished.
   */
  isOfAnotherKind(name: string): boolean {
    const folded = name.toLowerCase();
    return this.tokenNames.has(folded) || declaredNames(this.declared).has(folded);
  }

  /** Notes the name of a caller with a verified token. */
  noteTokenName(name: string): void {
    if (this.tokenNames.size >= maxTokenNames) this.tokenNames.delete(this.tokenNames.keys().next().value!);
    this.tokenNames.add(name.toLowerCase());
  }

  /** Finds the credential of a certificate by its names, which the client CA vouches for. */
  ofCertificate(names: readonly string[], address: string, now: number): Credential | KeyRefusal {
    for (const name of names) {
      const credential = this.table.byCertificate.get(name);
      if (credential !== undefined) return whyRefused(credential, address, now) ?? credential;
    }
    return 'unknown';
  }

  /** Reads both sources now, so that a change by this process is in force at once, and writes the last uses. */
  async refresh(): Promise<void> {
    await this.lookAgain(true);
    await this.saveUses().catch((error: unknown) => this.noteUnreadable(error));
  }

  /** One look after another. Does not throw. @param isAsked whether the database is asked although it tells of changes */
  private lookAgain(isAsked = false): Promise<void> {
    this.looking = this.looking.then(() => this.look(isAsked));
    return this.looking;
  }

  private async look(isAsked: boolean): Promise<void> {
    if (await this.readFileAgain()) this.makeTable();
    let isWell = true;
    if (isAsked || this.watch === undefined) {
      try {
        const changes = await this.options.managed.changes();
        if (changes !== this.databaseChanges) await this.readManaged();
        this.databaseChanges = changes;
      } catch (error) {
        isWell = false;
        this.noteUnreadable(error);
      }
    }
    await this.confirm(isWell);
    // Nothing waits for it: the statement may meet a dead connection.
    if (isWell && performance.now() - this.usesSaved >= saveUsesMs) {
      this.saving = this.saveUses().catch((error: unknown) => this.noteUnreadable(error));
    }
  }

  private noteUnreadable(error: unknown): void {
    const what = this.knowsManaged
      ? 'those that were read last stay'
      : 'only declared ones are accepted until they can';
    this.options.log.error({ err: error }, `the API keys in the database cannot be read; ${what}`);
  }

  private async readFileAgain(): Promise<boolean> {
    try {
      return await this.readFileIfChanged();
    } catch (error) {
      // The last good table stays: a typing slip must not lock every caller out.
      const problems = error instanceof PolicyError ? error.problems.map(formatProblem) : [(error as Error).message];
      this.options.log.error({ problems }, 'the file of API keys cannot be used; the keys of its last good state stay');
      return false;
    }
  }

  /** Of the database, or while it is away of the copy. */
  private async readManagedAtStart(): Promise<void> {
    const { managed, log, copy } = this.options;
    try {
      this.databaseChanges = await managed.changes();
      await this.readManaged();
      return;
    } catch (error) {
      if (!isAway(error)) throw error;
      log.error({ err: error }, 'the API keys in the database cannot be read');
    }
    try {
      const copied = await copy?.read(Date.now());
      if (copied === undefined) return;
      this.managed = copied.keys;
      this.managedFrom = 'copy';
      this.setConfirmed(copied.confirmed);
      const { ageMs, isTooOld } = this.managedState(Date.now());
      const details = { keys: copied.keys.length, confirmed: new Date(copied.confirmed).toISOString() };
      if (isTooOld) log.error(details, 'the copy of the API keys is too old (VERDICT_KEYS_MAX_AGE): they are refused');
      else log.info({ ...details, ageMs }, 'the API keys are those of the copy until the database is back');
    } catch (error) {
      log.error({ err: error }, `the copy of the API keys cannot be used: ${(error as Error).message}`);
    }
  }

  /**
   * Of readings that overlap the one that began last counts.
   *
   * @throws DatabaseError
   */
  private async readManaged(): Promise<void> {
    const reading = ++this.readings;
    const asked = Date.now();
    const keys = await this.options.managed.list();
    if (reading < this.read) return;
    this.read = reading;
    this.managed = keys;
    this.managedFrom = 'database';
    this.setConfirmed(asked);
    this.makeTable();
    await this.keepCopy((copy) => copy.write({ keys, confirmed: asked }));
  }

  /**
   * Notes how long the keys are known to be all that there are, as the watch over the database says.
   *
   * @param isWell whether the database answered just now, which is what counts where there is no watch
   */
  private async confirm(isWell: boolean): Promise<void> {
    const ageMs = this.watch?.ageMs ?? (isWell ? 0 : Number.POSITIVE_INFINITY);
    if (this.managedFrom !== 'database' || ageMs === Number.POSITIVE_INFINITY) return;
    const confirmed = Date.now() - ageMs;
    this.setConfirmed(confirmed);
    await this.keepCopy((copy) => copy.confirm(confirmed));
  }

  private setConfirmed(confirmed: number): void {
    this.confirmed = confirmed;
    this.goodUntil = confirmed + (this.options.maxAgeMs ?? Number.POSITIVE_INFINITY);
  }

  /** Does not throw: a disk that is full must keep no revocation from being in force. */
  private async keepCopy(keep: (copy: KeysCopy) => Promise<void>): Promise<void> {
    const { copy, log } = this.options;
    if (copy === undefined) return;
    await keep(copy).catch((error: unknown) => {
      log.error({ err: error }, 'the copy of the API keys cannot be written');
    });
  }

  private makeTable(): void {
    const { table, hidden } = credentialTableOf(this.declared, this.managed ?? []);
    this.table = table;
    this.noteHidden(hidden);
  }

  private async readFileIfChanged(): Promise<boolean> {
    const { file } = this.options;
    if (file === undefined) return false;
    const { mtimeMs, ctimeMs, size, ino } = await stat(file);
    const stamp = [mtimeMs, ctimeMs, size, ino].join();
    if (stamp === this.fileStamp) return false;
    const first = this.fileStamp === '';
    this.fileStamp = stamp;
    this.declared = readApiKeyFile(file, await readFile(file, 'utf8'));
    if (!first) this.options.log.info({ keys: this.declared.length }, 'the file of API keys was read again');
    return true;
  }

  /** Logs each hidden key once, and again if it was visible in between. */
  private noteHidden(names: readonly string[]): void {
    for (const name of names.filter((each) => !this.hidden.includes(each))) {
      const what = 'a managed API key is refused: the file of API keys declares a caller of the same name';
      this.options.log.error({ key: name }, what);
    }
    this.hidden = names;
  }

  private whyUnknown(key: string): KeyRefusal {
    const environment = environmentOf(key);
    if (environment === undefined) return 'malformed';
    const { environment: own = environment } = this.options;
    return environment === own ? 'unknown' : 'other_environment';
  }

  private whyNow(credential: Credential, address: string, now: number): KeyRefusal | undefined {
    if (credential.source === 'managed' && now >= this.goodUntil) return 'unconfirmed';
    return whyRefused(credential, address, now);
  }

  private noteUse(digest: string, { source }: Credential, now: number): void {
    if (source !== 'managed' || now - (this.lastUses.get(digest) ?? 0) < lastUseStepMs) return;
    this.lastUses.set(digest, now);
    this.unsavedUses.set(digest, now);
  }

  private async saveUses(): Promise<void> {
    const uses = this.unsavedUses;
    this.usesSaved = performance.now();
    if (uses.size === 0) return;
    this.unsavedUses = new Map();
    try {
      await this.options.managed.used(uses);
    } catch (error) {
      this.unsavedUses = new Map([...uses, ...this.unsavedUses]);
      throw error;
    }
  }
}

function sameText(a: string, b: string): boolean {
  // Compares bytes: `timingSafeEqual` throws if lengths differ, and `length` of a text does not count bytes.
  const [bytes, others] = [Buffer.from(a), Buffer.from(b)];
  return bytes.length === others.length && timingSafeEqual(bytes, others);
}

function whyRefused({ expires, from }: Credential, address: string, now: number): KeyRefusal | undefined {
  if (now >= expires) return 'expired';
  return from === undefined || from(address) ? undefined : 'other_address';
}
