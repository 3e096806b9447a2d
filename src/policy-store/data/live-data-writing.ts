import type { RoleTuple } from '../../core/data/live-data.js';
import type { StoredEntity } from '../../core/manifest/entities.js';
import { canonical } from '../../core/manifest/schema-checking.js';
import { isObject } from '../../core/matcher/values.js';
import { type DataChange, DataError, type DataProblem } from '../../core/policy/data-change.js';
import { formatProblem, PolicyError } from '../../core/problem.js';
import type { Json, JsonObject } from '../../core/request.js';
import { sha256 } from '../../digest/sha-256.js';
import { type FieldError, VerdictError } from '../../errors.js';
import { OneAtATime } from '../../turns/one-at-a-time.js';
import { inTurns } from '../../turns/turns.js';
import type { ChangedLoadedSet } from '../load-policy-set.js';
import type { ChangeableSet, PolicyStore } from '../policy-store.js';
import { lastRevisionOf, type SetRevisions } from '../set-revisions.js';
import { entriesOf } from './entries.js';
import type {
  ChangeKey,
  EntityFilter,
  ListedEntity,
  ListedRole,
  LiveDataStore,
  RoleFilter,
} from './live-data-store.js';

/** A change of live data that was made: a client that demands this revision is answered with it, or not at all. */
export interface WrittenChange {
  readonly set: string;
  /** The version that the set has with the change. */
  readonly version: string;
  readonly revision: number;
  /** Number of role links and entities that are new, and that are gone. */
  readonly added: number;
  readonly removed: number;
}

export interface DataChangeNote {
  /** Who makes the change. */
  readonly by: string;
  /** The revision that the set must have; `any` and undefined: whatever it has. */
  readonly expected?: number | 'any' | undefined;
  /** Of the caller: the same change again under the same key, within a day, is answered and not made again. */
  readonly key?: string | undefined;
}

/** Most role links and entities that one change names, so that it can be made while decisions are answered. */
export const maxChangedEntries = 50_000;

/** Most changes that wait for those before them: as for files, in all and of one caller. */
const writingLimits = { pieces: 64, piecesOfCaller: 16 };
/** How often a change is checked anew when the set has changed meanwhile, before its caller is told to try again. */
const maxTries = 50;
/** How long a try waits until this process serves what the others have changed, in milliseconds. */
const followMs = 1_000;

/** Changes the live data of sets. What any replica could not serve is not written. */
export class LiveDataWriting {
  /** Of each set, so that one that is behind holds up no other. */
  private readonly writes = new Map<string, OneAtATime>();

  constructor(
    private readonly store: LiveDataStore,
    private readonly policies: PolicyStore,
  ) {}

  /**
   * Checks a change on what serves here, writes it, and has this replica serve it; all of it or nothing. Another change that
   * comes in between has it checked again.
   *
   * @throws VerdictError `policy_set_not_found`, `policy_set_unavailable`, `not_live_data`, `invalid_request`,
   *   `payload_too_large`, `conflict`, `defined_in_files`, `precondition_failed`, `idempotency_key_reused`,
   *   `policy_writes_in_progress`
   */
  async change(name: string, change: DataChange, note: DataChangeNote): Promise<WrittenChange> {
    requireSize(change);
    this.policies.changeable(name);
    const writes = this.writes.get(name) ?? new OneAtATime(writingLimits);
    this.writes.set(name, writes);
    if (!writes.hasRoomFor(note.by)) throw tooManyChanges();
    return writes.run(note.by, async () => {
      const key = await keyOf(change, note);
      for (let tries = 0; tries < maxTries; tries++) {
        const written = (key && (await this.answered(name, key))) ?? (await this.changeOnce(name, change, note, key));
        if (written !== undefined) return written;
      }
      throw tooManyChanges();
    });
  }

  /** Role links in the order of definition, domain, name and role, after `after`, if it is given. */
  async roles(name: string, filter: RoleFilter, limit: number, after?: RoleTuple): Promise<readonly ListedRole[]> {
    this.policies.status(name);
    return this.store.roles(name, filter, limit, after);
  }

  /** Entities in the order of type and id, after `after`, if it is given. */
  async entities(
    name: string,
    filter: EntityFilter,
    limit: number,
    after?: Pick<StoredEntity, 'type' | 'id'>,
  ): Promise<readonly ListedEntity[]> {
    this.policies.status(name);
    return this.store.entities(name, filter, limit, after);
  }

  private async answered(name: string, key: ChangeKey): Promise<WrittenChange | undefined> {
    const known = await this.store.answer(name, key.key, Date.now());
    if (known === undefined) return undefined;
    if (known.digest !== key.digest) {
      throw new VerdictError('idempotency_key_reused', 'The Idempotency-Key was sent with another change before.');
    }
    const { version, revision } = known;
    return { set: name, version, revision, added: 0, removed: 0 };
  }

  /** @returns undefined where the set has changed since it was looked at */
  private async changeOnce(
    name: string,
    change: DataChange,
    { by, expected }: DataChangeNote,
    key: ChangeKey | undefined,
  ): Promise<WrittenChange | undefined> {
    // First of all, so that a set that has no live data says so.
    let base = this.policies.changeable(name);
    const now = await this.store.revisions(name);
    const revision = lastRevisionOf(now);
    if (typeof expected === 'number' && expected !== revision) throw notExpected(name, revision, expected);
    const isAt = ({ data, files = now.files }: ChangeableSet) => data === now.data && files === now.files;
    if (!isAt(base)) {
      await this.policies.followData();
      // It may be past these numbers already: others go on changing it.
      const hasFollowed = ({ data, files = now.files }: ChangeableSet) => data >= now.data && files >= now.files;
      const isFollowed = await this.policies.until(() => hasFollowed(this.policies.changeable(name)), followMs);
      // Where nothing came, this replica cannot serve what is there.
      if (!isFollowed && (await this.isStill(name, now))) throw tooManyChanges();
      base = this.policies.changeable(name);
      if (typeof expected === 'number' && !isAt(base)) return undefined;
    }
    const after = { data: base.data, files: base.files ?? now.files };
    const { loaded, effect, added, removed } = await tried(base.change(change));
    const { version } = loaded.served;
    if (added + removed === 0) {
      const answer = { version, revision: lastRevisionOf(after) };
      if (key !== undefined) await this.store.keepAnswer(name, key, answer, Date.now());
      return { set: name, ...answer, added, removed };
    }
    const entries = await inTurns(entriesOf(effect));
    const at = Date.now();
    const written = await this.store.write(name, { ...entries, after, by, at, version, key });
    if (written === undefined) return undefined;
    // The change is made; that this replica does not serve it yet is for its health to say.
    await this.policies.followData().catch(() => undefined);
    return { set: name, version, revision: written, added, removed };
  }

  private async isStill(name: string, { files, data }: SetRevisions): Promise<boolean> {
    const now = await this.store.revisions(name);
    return now.files === files && now.data === data;
  }
}

function requireSize({ add, remove }: DataChange): void {
  let count = 0;
  for (const list of [add?.roles, add?.entities, remove?.roles, remove?.entities]) {
    if (Array.isArray(list)) count += list.length;
  }
  if (count <= maxChangedEntries) return;
  const detail = `A change may name ${maxChangedEntries} role links and entities, and this one names ${count}.`;
  throw new VerdictError('payload_too_large', detail);
}

async function keyOf(change: DataChange, note: DataChangeNote): Promise<ChangeKey | undefined> {
  if (note.key === undefined) return undefined;
  return { key: `${note.by} ${note.key}`, digest: await inTurns(digestOf(change, note)) };
}

/** Tells one request from another. The lists of a change are hashed in pieces, since they may be long. */
function* digestOf(change: DataChange, { expected = 'any' }: DataChangeNote): Generator<void, string> {
  const parts: JsonObject = {};
  // Sound: a change that comes over HTTP is JSON.
  for (const [part, lists] of Object.entries(change as JsonObject)) {
    if (!isObject(lists)) {
      parts[part] = lists;
      continue;
    }
    const digests: JsonObject = {};
    for (const [name, list] of Object.entries(lists)) {
      digests[name] = Array.isArray(list) ? yield* digestsOf(list) : list;
    }
    parts[part] = digests;
  }
  return sha256([canonical([String(expected), parts])]);
}

/** Characters of a list that are hashed in one go. */
const hashedAtOnce = 64 * 1024;

function* digestsOf(list: readonly Json[]): Generator<void, string[]> {
  const digests: string[] = [];
  let text = '';
  for (const item of list) {
    text += `${canonical(item)}\n`;
    if (text.length < hashedAtOnce) continue;
    digests.push(sha256([text]));
    text = '';
    yield;
  }
  return [...digests, sha256([text])];
}

async function tried(change: Promise<ChangedLoadedSet>): Promise<ChangedLoadedSet> {
  try {
    return await change;
  } catch (error) {
    if (error instanceof DataError) throw refusal(error.problems);
    if (error instanceof PolicyError) {
      const errors = error.problems
        .slice(0, listed)
        .map((problem) => ({ pointer: '', detail: formatProblem(problem) }));
      throw new VerdictError('conflict', `With the change a policy test would fail: ${errors[0]!.detail}`, { errors });
    }
    throw error;
  }
}

/** Most problems that are listed. */
const listed = 100;
/** What is wrong with a change because of what the set has, and not by itself. */
const conflicts: ReadonlySet<string> = new Set([
  'conflict',
  'constraint_violation',
  'defined_in_files',
  'not_live_data',
]);

function refusal(problems: readonly DataProblem[]): VerdictError {
  const errors = problems.slice(0, listed).map(fieldErrorOf);
  const sentence = `The change cannot be made: ${errors[0]!.detail}.`;
  const codes = new Set(problems.map(({ code }) => code));
  if ([...codes].some((code) => !conflicts.has(code))) return new VerdictError('invalid_request', sentence, { errors });
  const [only] = codes;
  if (codes.size === 1 && (only === 'defined_in_files' || only === 'not_live_data')) {
    return new VerdictError(only, sentence, { errors });
  }
  return new VerdictError('conflict', sentence, { errors });
}

function fieldErrorOf({ message, pointer, hint }: DataProblem): FieldError {
  return { pointer, detail: hint === undefined ? message : `${message} (${hint})` };
}

function notExpected(name: string, revision: number, expected: number): VerdictError {
  const detail = `The policy set "${name}" is at revision ${revision}, not ${expected}: somebody changed it. Read it again.`;
  return new VerdictError('precondition_failed', detail);
}

function tooManyChanges(): VerdictError {
  const detail = 'Too many changes of live data are being made, from the caller or in all.';
  return new VerdictError('policy_writes_in_progress', detail, { retryAfter: 1 });
}
