import { timingSafeEqual } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { addressList } from '../config/address-list.js';
import { formatProblem, PolicyError } from '../core/problem.js';
import { isAway } from '../database/database-error.js';
import { digestOf, environmentOf } from './api-key.js';
import type { ApiKey, Credential } from './api-key-entry.js';
import { type DeclaredCaller, declaredNames, readApiKeyFile } from './api-key-file.js';
import { Grants } from './grants.js';
import type { ManagedKey, ManagedKeys } from './managed-keys.js';
import { parseScope } from './scopes.js';

/** Why a key is refused. The operator sees it, the caller does not. */
export type KeyRefusal = 'malformed' | 'unknown' | 'expired' | 'other_environment' | 'other_address';

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
  /** Milliseconds between two looks at the file and the database. A revocation must hold within a second. */
  readonly pollMs?: number;
}

/** The current keys and certificates. The table is replaced as a whole, never changed. */
interface Table {
  readonly byDigest: ReadonlyMap<string, Credential>;
  readonly byCertificate: ReadonlyMap<string, Credential>;
}

const lastUseStepMs = 60_000;
const maxTokenNames = 10_000;

/**
 * Every valid API key in memory, from the declared file and the database. Both are looked at twice a second, so a key
 * that was revoked anywhere is refused within a second, and no request waits for file or database.
 */
export class ApiKeys {
  private table: Table = { byDigest: new Map(), byCertificate: new Map() };
  private declared: readonly DeclaredCaller[] = [];
  /** Managed keys that are refused since the file declares their names. */
  private hidden: readonly string[] = [];
  /** Names in lower case. The oldest are removed if there are too many. */
  private readonly tokenNames = new Set<string>();
  private fileStamp = '';
  private databaseChanges = -1;
  /** The managed keys as they were read last; undefined until then. */
  private managed: readonly ManagedKey[] | undefined;
  private readonly lastUses = new Map<string, number>();
  private unsavedUses = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;
  private refreshing: Promise<void> = Promise.resolve();

  constructor(private readonly options: ApiKeysOptions) {}

  /**
   * Reads both sources and begins to watch them. While the server of the database is away, only declared keys are there.
   *
   * @throws PolicyError if the declared file is wrong, or the file system's error if it cannot be read
   */
  async start(): Promise<void> {
    await this.refresh({ strict: true });
    this.timer = setInterval(() => void this.refresh(), this.options.pollMs ?? 400);
    this.timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.refreshing;
    await this.saveUses();
  }

  /** False while the managed keys could not be read once since the start. */
  get knowsManaged(): boolean {
    return this.managed !== undefined;
  }

  /** True if a key or certificate exists that could authenticate a caller now. */
  hasUsable(now: number): boolean {
    const { byDigest, byCertificate } = this.table;
    return [...byDigest.values(), ...byCertificate.values()].some(({ expires }) => expires > now);
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
    const refusal = whyRefused(credential, address, now);
    if (refusal !== undefined) return refusal;
    this.noteUse(digest, credential, now);
    return credential;
  }

  /** As `authenticate`, for the digest of a key that was presented earlier. */
  recheck(digest: string, address: string, now: number): Credential | KeyRefusal {
    const credential = this.table.byDigest.get(digest);
    return credential === undefined ? 'unknown' : (whyRefused(credential, address, now) ?? credential);
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

  /** Reads both sources now, so that a change by this process is in force at once. */
  refresh({ strict = false } = {}): Promise<void> {
    const done = this.refreshing.then(() => this.look(strict));
    this.refreshing = done.catch(() => undefined);
    return strict ? done : this.refreshing;
  }

  private async look(strict: boolean): Promise<void> {
    let changed = false;
    try {
      changed = await this.readFileIfChanged();
    } catch (error) {
      if (strict) throw error;
      // The last good table stays: a typing slip must not lock every caller out.
      const problems = error instanceof PolicyError ? error.problems.map(formatProblem) : [(error as Error).message];
      this.options.log.error({ problems }, 'the file of API keys cannot be used; the keys of its last good state stay');
    }
    try {
      const changes = await this.options.managed.changes();
      if (changes === this.databaseChanges) await this.saveUses();
      else {
        this.managed = await this.options.managed.list();
        this.databaseChanges = changes;
        changed = true;
      }
    } catch (error) {
      if (strict && !isAway(error)) throw error;
      const what = this.knowsManaged
        ? 'those that were read last stay'
        : 'only declared ones are accepted until they can';
      this.options.log.error({ err: error }, `the API keys in the database cannot be read; ${what}`);
    }
    if (!changed) return;
    const { table, hidden } = tableOf(this.declared, this.managed ?? []);
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

  private noteUse(digest: string, { source }: Credential, now: number): void {
    if (source !== 'managed' || now - (this.lastUses.get(digest) ?? 0) < lastUseStepMs) return;
    this.lastUses.set(digest, now);
    this.unsavedUses.set(digest, now);
  }

  private async saveUses(): Promise<void> {
    const uses = this.unsavedUses;
    if (uses.size === 0) return;
    this.unsavedUses = new Map();
    await this.options.managed.used(uses);
  }
}

/** Also returns the names of the managed keys that are left out, since a record's caller must have one meaning. */
function tableOf(
  declared: readonly DeclaredCaller[],
  stored: readonly ManagedKey[],
): { readonly table: Table; readonly hidden: readonly string[] } {
  const taken = declaredNames(declared);
  const hidden: string[] = [];
  const byDigest = new Map<string, Credential>();
  const byCertificate = new Map<string, Credential>();
  // The file comes last: if both have a digest, the file wins.
  for (const key of stored) {
    if (key.revoked !== undefined) continue;
    if (taken.has(key.name.toLowerCase())) {
      hidden.push(key.name);
      continue;
    }
    for (const { digest, expires } of key.secrets) byDigest.set(digest, credentialOf(key, 'managed', expires));
  }
  for (const { key, digests, certificates } of declared) {
    const credential = credentialOf(key, 'declared');
    for (const digest of digests) byDigest.set(digest, credential);
    for (const name of certificates) byCertificate.set(name, credential);
  }
  return { table: Object.freeze({ byDigest, byCertificate }), hidden };
}

function credentialOf(key: ApiKey, source: Credential['source'], secretExpires = Number.POSITIVE_INFINITY): Credential {
  const scopes = key.scopes.map(parseScope).filter((scope) => scope !== undefined);
  return Object.freeze({
    key,
    grants: Grants.of(scopes, key.policySets),
    expires: Math.min(key.expires ?? Number.POSITIVE_INFINITY, secretExpires),
    from: key.addresses === undefined ? undefined : addressList(key.addresses),
    source,
  });
}

function whyRefused({ expires, from }: Credential, address: string, now: number): KeyRefusal | undefined {
  if (now >= expires) return 'expired';
  return from === undefined || from(address) ? undefined : 'other_address';
}

function sameText(a: string, b: string): boolean {
  // Compares bytes: `timingSafeEqual` throws if lengths differ, and `length` of a text does not count bytes.
  const [bytes, others] = [Buffer.from(a), Buffer.from(b)];
  return bytes.length === others.length && timingSafeEqual(bytes, others);
}
