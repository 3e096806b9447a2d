import { timingSafeEqual } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { addressList } from '../config/address-list.js';
import { formatProblem, PolicyError } from '../core/problem.js';
import { digestOf, environmentOf } from './api-key.js';
import type { ApiKey, Credential } from './api-key-entry.js';
import { type DeclaredCaller, declaredNames, readApiKeyFile } from './api-key-file.js';
import { Grants } from './grants.js';
import type { ManagedKey, ManagedKeys } from './managed-keys.js';
import { parseScope } from './scopes.js';

/** Why a key is refused; for the operator, the caller hears none of it. */
export type KeyRefusal = 'malformed' | 'unknown' | 'expired' | 'other_environment' | 'other_address';

export interface ApiKeysLog {
  info(details: object, message: string): void;
  error(details: object, message: string): void;
}

export interface ApiKeysOptions {
  /** `VERDICT_ENV`: the environment whose keys alone are accepted. */
  readonly environment?: string;
  /** The file of declared callers. */
  readonly file?: string;
  readonly managed: ManagedKeys;
  readonly log: ApiKeysLog;
  /** Milliseconds between two looks at the file and the database. A revocation must hold within a second. */
  readonly pollMs?: number;
}

/** What keys and certificates mean now. Never changed, only replaced. */
interface Table {
  readonly byDigest: ReadonlyMap<string, Credential>;
  readonly byCertificate: ReadonlyMap<string, Credential>;
}

const lastUseStepMs = 60_000;
const maxTokenNames = 10_000;

/**
 * Every API key that is good, in memory, from the declared file and from the database. Both are looked at twice a
 * second and the table is replaced as a whole, so that a key which was revoked anywhere is refused within a second and
 * a request never waits for either.
 */
export class ApiKeys {
  private table: Table = { byDigest: new Map(), byCertificate: new Map() };
  private declared: readonly DeclaredCaller[] = [];
  /** Managed keys that are refused since the file declares their names. */
  private hidden: readonly string[] = [];
  /** Lower case; the oldest go when there are too many. */
  private readonly tokenNames = new Set<string>();
  private fileStamp = '';
  private databaseChanges = -1;
  private readonly lastUses = new Map<string, number>();
  private unsavedUses = new Map<string, number>();
  private timer: NodeJS.Timeout | undefined;
  private refreshing: Promise<void> = Promise.resolve();

  constructor(private readonly options: ApiKeysOptions) {}

  /**
   * Reads both sources and begins to watch them.
   *
   * @throws PolicyError when the declared file is wrong, or the file system's error when it cannot be read
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

  /** Whether anybody could authenticate by what is declared or stored here. */
  hasUsable(now: number): boolean {
    const { byDigest, byCertificate } = this.table;
    return [...byDigest.values(), ...byCertificate.values()].some(({ expires }) => expires > now);
  }

  /**
   * Whose key this is. Also a key that is not good costs one hash and one look-up, and the time of the look-up tells about
   * the digest of a guess, never about a key.
   *
   * @param name given with HTTP Basic: the key must be the one of that name
   */
  authenticate(key: string, address: string, now: number, name?: string): Credential | KeyRefusal {
    const digest = digestOf(key);
    const credential = this.table.byDigest.get(digest);
    if (credential === undefined) return this.whyUnknown(key);
    // The environment stands in front of the secret, so a file of digests alone cannot carry it.
    const { environment } = this.options;
    if (environment !== undefined && !key.startsWith(`vd_${environment}_`)) return this.whyUnknown(key);
    if (name !== undefined && !sameText(name, credential.key.name)) return 'unknown';
    const refusal = whyRefused(credential, address, now);
    if (refusal !== undefined) return refusal;
    this.noteUse(digest, credential, now);
    return credential;
  }

  /** As `authenticate`, for a key that was presented earlier: it must be good now. */
  recheck(digest: string, address: string, now: number): Credential | KeyRefusal {
    const credential = this.table.byDigest.get(digest);
    return credential === undefined ? 'unknown' : (whyRefused(credential, address, now) ?? credential);
  }

  /**
   * Whether a name stands for a caller of another kind than a managed key, or would be taken for one: a declared caller, a
   * declared certificate, somebody whose token was verified lately. Names that differ in case alone are one here.
   */
  isOfAnotherKind(name: string): boolean {
    const folded = name.toLowerCase();
    return this.tokenNames.has(folded) || declaredNames(this.declared).has(folded);
  }

  /** Takes note of a caller whom a token names. */
  noteTokenName(name: string): void {
    if (this.tokenNames.size >= maxTokenNames) this.tokenNames.delete(this.tokenNames.keys().next().value!);
    this.tokenNames.add(name.toLowerCase());
  }

  /** Whose certificate has one of these names, which the client CA vouches for. */
  ofCertificate(names: readonly string[], address: string, now: number): Credential | KeyRefusal {
    for (const name of names) {
      const credential = this.table.byCertificate.get(name);
      if (credential !== undefined) return whyRefused(credential, address, now) ?? credential;
    }
    return 'unknown';
  }

  /** Looks at both sources now; a change by this process need not wait for the next look. */
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
      // What was read last goes on: a slip of the pen must not lock every caller out.
      const problems = error instanceof PolicyError ? error.problems.map(formatProblem) : [(error as Error).message];
      this.options.log.error({ problems }, 'the file of API keys cannot be used; the keys of its last good state stay');
    }
    try {
      const changes = await this.options.managed.changes();
      changed ||= changes !== this.databaseChanges;
      if (!changed) return await this.saveUses();
      const stored = await this.options.managed.list();
      this.databaseChanges = changes;
      const { table, hidden } = tableOf(this.declared, stored);
      this.table = table;
      this.noteHidden(hidden);
    } catch (error) {
      if (strict) throw error;
      this.options.log.error({ err: error }, 'the API keys in the database cannot be read');
    }
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

  /** Said once for each key, and again when it came back in between. */
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

/** Also the names of the managed keys that are left out: records must not mean two callers by one name. */
function tableOf(
  declared: readonly DeclaredCaller[],
  stored: readonly ManagedKey[],
): { readonly table: Table; readonly hidden: readonly string[] } {
  const taken = declaredNames(declared);
  const hidden: string[] = [];
  const byDigest = new Map<string, Credential>();
  const byCertificate = new Map<string, Credential>();
  // The file comes last: where both have a digest, the operator's file is what counts.
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
  // In bytes: a text beyond ASCII has more of them than its length says, and `timingSafeEqual` throws where they differ.
  const [bytes, others] = [Buffer.from(a), Buffer.from(b)];
  return bytes.length === others.length && timingSafeEqual(bytes, others);
}
