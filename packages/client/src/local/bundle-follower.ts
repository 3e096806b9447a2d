/** Keeps one policy set as the service serves it: asks, waits there for a change, and asks again. */
import { isProblem } from '../answers.js';
import { Deadline } from '../deadline.js';
import { messageOf, type VerdictError, VerdictProblem, VerdictUnavailable } from '../errors.js';
import { type Host, inOrder } from '../hosts.js';
import type { trustedKeys } from './bundle-signature.js';
import { type HeldSet, RefusedBundle, readBundle } from './held-set.js';
import type { LocalWarningKind, Warn } from './local-warning.js';

export interface FollowerOptions {
  readonly name: string;
  readonly hosts: readonly Host[];
  readonly fetch: typeof globalThis.fetch;
  readonly headers: () => Promise<Readonly<Record<string, string>>>;
  readonly keys: ReturnType<typeof trustedKeys> | undefined;
  readonly maxStalenessMs: number;
  readonly timeoutMs: number;
  readonly warn: Warn;
  /** The version of the engine here. */
  readonly engineVersion: string;
}

/** Most difference between the clock here and that of the service, in milliseconds. */
const mostClockDifferenceMs = 300_000;
/** Largest bundle in bytes. */
const mostBytes = 2 ** 29;
/** Longest wait at the service, in seconds: proxies end what is silent for longer. */
const longestWait = 25;
/** The first pause after a failure, and the longest, in milliseconds. */
const firstPauseMs = 100;
const longestPauseMs = 2_000;

export class BundleFollower {
  /** The set that decides; replaced in one assignment. */
  held: HeldSet | undefined;
  private confirmedAt = Number.NEGATIVE_INFINITY;
  private confirmedTime = Number.NEGATIVE_INFINITY;
  /** The clock of the service less the monotonic one here; NaN where it is not known. */
  private clockOffset = Number.NaN;
  private isClockTold = false;
  private readonly ending = new AbortController();
  /** Ends when it was told to. */
  private readonly following: Promise<void>;
  private settle: { resolve(): void; reject(error: VerdictProblem): void } | undefined;
  /** Resolves when there is a set; it may be old already. Rejects where the service refuses to give it. */
  readonly ready = new Promise<void>((resolve, reject) => {
    this.settle = { resolve, reject };
  });
  /** Why there is none, or why it grows old. */
  failure: VerdictError | undefined;
  private told: LocalWarningKind | undefined;
  private toldEngine: string | undefined;

  constructor(private readonly options: FollowerOptions) {
    // Somebody asks for it later, or nobody does.
    this.ready.catch(() => {});
    this.following = this.follow();
  }

  /**
   * How long ago it was last known that the source of the set has nothing newer, in milliseconds. The older of two ages: the clock of
   * the machine may be set, and the monotonic one stands still while the machine sleeps.
   */
  ageMs(monotonic: number, time: number): number {
    return Math.max(monotonic - this.confirmedAt, time - this.confirmedTime);
  }

  /**
   * Whether the clock of this machine differs from that of the service by more than the service takes records with: rules that ask
   * for the time would be answered for another one.
   */
  isClockOff(monotonic: number, time: number): boolean {
    return Math.abs(time - monotonic - this.clockOffset) > mostClockDifferenceMs;
  }

  async stop(): Promise<void> {
    this.ending.abort();
    await this.following;
  }

  private async follow(): Promise<void> {
    const { maxStalenessMs, hosts } = this.options;
    // A wait is a time without news: three fit into what the set may be old.
    const wait = Math.min(longestWait, Math.floor(maxStalenessMs / 3_000));
    let pauseMs = 0;
    let isCalm = false;
    while (!this.ending.signal.aborted) {
      const [host] = inOrder(hosts) as readonly [Host];
      try {
        const early = await this.ask(host, isCalm ? wait : 0);
        host.answered();
        this.failure = undefined;
        this.told = undefined;
        // The next one waits there. Where that is not possible, the pause is here.
        pauseMs = wait === 0 ? maxStalenessMs / 4 : early ? 1_000 : 0;
        isCalm = true;
      } catch (error) {
        if (this.ending.signal.aborted) break;
        isCalm = false;
        host.failed();
        this.note(error);
        // One that has not failed lately is asked at once.
        const isAnother = hosts.some((other) => !other.isResting);
        pauseMs = isAnother ? 0 : Math.min(longestPauseMs, maxStalenessMs / 4, Math.max(firstPauseMs, pauseMs * 2));
      }
      if (pauseMs > 0) await this.pause(pauseMs);
    }
  }

  private note(error: unknown): void {
    const { name, warn } = this.options;
    const known = error instanceof VerdictProblem || error instanceof VerdictUnavailable;
    const kind: LocalWarningKind =
      error instanceof VerdictProblem ? 'refused' : error instanceof RefusedBundle ? 'bundle_refused' : 'unreachable';
    const { message } = error as Error;
    this.failure = known ? error : new VerdictUnavailable('malformed', `${name}: ${message}`, { cause: error });
    if (error instanceof VerdictProblem) this.settle?.reject(error);
    if (this.told === kind) return;
    this.told = kind;
    const what = kind === 'bundle_refused' ? 'the bundle is refused' : 'the policy set cannot be fetched';
    warn({ kind, policySet: name, message: `${name}: ${what}: ${message}`, cause: error });
  }

  /**
   * @returns whether the service answered before the wait was over although nothing changed
   * @throws VerdictUnavailable, VerdictProblem, RefusedBundle
   */
  private async ask(host: Host, wait: number): Promise<boolean> {
    const { name, keys, maxStalenessMs, timeoutMs, fetch, headers } = this.options;
    const before = this.held;
    const deadline = new Deadline(wait * 1_000 + Math.min(timeoutMs, maxStalenessMs / 3), this.ending.signal);
    const sent = performance.now();
    const sentTime = Date.now();
    const { response, body } = await deadline.within(Number.POSITIVE_INFINITY, async (signal) => {
      const all: Record<string, string> = { ...(await headers()), accept: 'application/json' };
      if (before?.etag != null) all['if-none-match'] = before.etag;
      const url = `${host.baseUrl}/v1/policy-sets/${encodeURIComponent(name)}/bundle?wait=${wait}`;
      try {
        const answer = await fetch(url, { headers: all, signal, redirect: 'manual' });
        return { response: answer, body: await bytesOf(answer) };
      } catch (cause) {
        const { message, cause: inner } = cause as { message?: string; cause?: { code?: string; message?: string } };
        const words = inner?.code ?? inner?.message ?? message;
        throw new VerdictUnavailable('network', `${host.baseUrl} did not answer: ${words}`, { cause });
      }
    });
    const received = performance.now();
    // What waited longer than it took would be newer than it is.
    const waited = Math.min(millisecondsIn(response.headers.get('verdict-waited')) ?? 0, received - sent);
    const age = millisecondsIn(response.headers.get('verdict-source-age')) ?? Number.POSITIVE_INFINITY;
    this.noteClock(Date.parse(response.headers.get('date') ?? ''), received);
    // When the source was last known to have nothing newer: no earlier than this, and no later than `received - age`.
    const [confirmedAt, confirmedTime] = [sent + waited - age, sentTime + waited - age];
    if (response.status === 304 && before !== undefined) {
      // One that knows less than another before it changes nothing.
      if (confirmedAt >= this.confirmedAt) Object.assign(this, { confirmedAt, confirmedTime });
      return waited < wait * 1_000 - 200;
    }
    if (response.status !== 200 || mediaTypeOf(response) !== 'application/json' || response.redirected) {
      throw refusalIn(response, body, host);
    }
    const [signature, etag] = ['verdict-bundle-signature', 'etag'].map((header) => response.headers.get(header)) as [
      string | null,
      string | null,
    ];
    const held = await readBundle(body, { name, signature, etag }, keys);
    if (before !== undefined && this.isEarlier(before, held, received - age)) {
      throw new VerdictUnavailable('malformed', `${host.baseUrl} does not know the last change of ${name} yet`);
    }
    Object.assign(this, { held, confirmedAt, confirmedTime });
    this.settle?.resolve();
    this.noteEngine(held.serviceEngine);
    return false;
  }

  /**
   * Whether another version is of before the one that is here: an address may know less than the one that was asked before. A
   * rollback has a new revision, where there are some.
   */
  private isEarlier(before: HeldSet, held: HeldSet, knownTo: number): boolean {
    // What is too old anyway yields to any: a source that was put back to an earlier day has lower revisions.
    if (this.ageMs(performance.now(), Date.now()) > this.options.maxStalenessMs) return false;
    if (before.revision !== undefined && held.revision !== undefined && before.revision !== held.revision) {
      return held.revision < before.revision;
    }
    return knownTo < this.confirmedAt;
  }

  /** @param date of the service, in milliseconds since 1970, a second or so ago; NaN where it does not say */
  private noteClock(date: number, received: number): void {
    if (Number.isNaN(date)) return;
    this.clockOffset = date - received;
    const isOff = this.isClockOff(received, Date.now());
    if (isOff && !this.isClockTold) {
      const minutes = Math.round((Date.now() - date) / 60_000);
      const message = `the clock of this machine is ${minutes} minutes off that of the service: nothing is decided`;
      this.options.warn({ kind: 'clock_off', policySet: this.options.name, message });
    }
    this.isClockTold = isOff;
  }

  private noteEngine(serviceEngine: string): void {
    const { engineVersion, name, warn } = this.options;
    if (serviceEngine === engineVersion || this.toldEngine === serviceEngine) return;
    this.toldEngine = serviceEngine;
    const message = `${name}: the service decides with engine ${serviceEngine}, and ${engineVersion} decides here`;
    warn({ kind: 'other_engine', policySet: name, message });
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.ending;
      const end = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener('abort', end);
      if (signal.aborted) end();
    });
  }
}

function millisecondsIn(header: string | null): number | undefined {
  return header !== null && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}

function mediaTypeOf(response: Response): string {
  return (response.headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

function refusalIn(response: Response, body: Uint8Array, { baseUrl }: Host): VerdictError {
  const type = mediaTypeOf(response);
  if (type === 'application/problem+json') {
    try {
      const problem: unknown = JSON.parse(new TextDecoder().decode(body));
      if (isProblem(problem) && problem.status === response.status && problem.status >= 400) {
        if (problem.status !== 429 && problem.status < 500) return new VerdictProblem(problem);
        return new VerdictUnavailable('refused', messageOf(problem), { problem });
      }
    } catch {
      // It is told as what is no answer.
    }
  }
  const what = `status ${response.status}, ${type || 'no content type'}`;
  return new VerdictUnavailable('malformed', `${baseUrl} sent something else than a bundle (${what})`);
}

/** @throws where it is longer than a bundle may be */
async function bytesOf({ body }: Response): Promise<Uint8Array<ArrayBuffer>> {
  if (body === null) return new Uint8Array();
  const reader = body.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    length += value.byteLength;
    if (length > mostBytes) {
      reader.cancel().catch(() => {});
      throw new Error(`more than ${mostBytes} bytes`);
    }
    parts.push(value);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}
