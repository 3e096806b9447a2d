import { idMilliseconds } from '../decision-ids.js';
import type { NewDecisionRecord } from '../decision-record.js';
import { type CommonMembers, commonMembers } from '../group-text.js';
import { addRecordKeys, commonKeys, type GroupKeys } from '../record-keys.js';
import { type CommonTexts, commonTexts, recordTexts } from '../record-texts.js';
import { Tally } from '../tally.js';

/** Records that are committed together or not at all. */
export interface Group {
  readonly common: CommonMembers;
  /** Each record's own text. */
  readonly lines: string[];
  /** Each record's text as a whole, which is hashed. */
  readonly wholes: string[];
  readonly keys: GroupKeys;
  readonly tally: Tally;
  /** The lowest and the highest time of its records: milliseconds since 1970. */
  since: number;
  until: number;
  /** The same of the times in their ids. */
  idSince: number;
  idUntil: number;
}

interface OpenGroup extends Group {
  readonly texts: CommonTexts;
  readonly committed: Promise<void>;
  readonly settle: (error?: unknown) => void;
  /** Characters of its lines. */
  length: number;
}

/** The most records in a group. What a look-up by key reads is a group, so it is also the grain of the index. */
export const groupLimit = 128;
/** A group of more text than this, in characters, takes no further record: its commit is one string, made at once. */
const lengthLimit = 1024 * 1024;
/** Enough records to commit at once: a commit costs about what twenty records cost, so more saves little. */
const enough = 64;
/** A group this small shows that nobody else is waiting to be taken along. */
const alone = 4;
/** The longest that a record waits for company, in timer ticks of a millisecond. */
const patience = 3;

/**
 * Gathers records into groups and commits them one group after another.
 *
 * A lone record is committed at the end of the event loop's round. While the groups are larger than `alone`, the next
 * one waits until it has `enough`, until a millisecond passes in which nothing came, or until `patience` is over: then
 * 64 waiting connections share one commit, and five do not wait for a sixth that is not coming.
 */
export class GroupCommit {
  private readonly commit: (group: Group) => Promise<void>;
  private full: OpenGroup[] = [];
  private open: OpenGroup | undefined;
  private running: OpenGroup | undefined;
  private committing = false;
  private timer: NodeJS.Timeout | NodeJS.Immediate | undefined;
  private lastSize = 0;
  private waiting = 0;
  private waitingLength = 0;
  /** How many wait until what was pending is settled. */
  private flushes = 0;

  /** `instance` stands in every record. */
  constructor(
    commit: (group: Group) => Promise<void>,
    private readonly instance?: string,
  ) {
    this.commit = commit;
  }

  /** How many records are not committed yet. */
  get depth(): number {
    return this.waiting;
  }

  /** How much text is not committed yet, in characters. */
  get length(): number {
    return this.waitingLength;
  }

  /** The lowest time of a record that is not committed yet, in milliseconds since 1970. */
  get oldest(): number | undefined {
    return (this.running ?? this.full[0] ?? this.open)?.since;
  }

  /** Serialises the record now, so that nothing done to it later is recorded; resolves when its group is committed. */
  add(record: NewDecisionRecord): Promise<void> {
    this.open ??= openGroup(commonMembers(record, this.instance));
    const group = this.open;
    const { time } = record;
    const idTime = idMilliseconds(record.id);
    const timeInId = idTime === time;
    const { line, whole } = recordTexts(record, group.texts, timeInId);
    addRecordKeys(record, group.common, group.keys, group.lines.length);
    group.lines.push(line);
    group.wholes.push(whole);
    group.length += line.length;
    this.waitingLength += line.length;
    group.tally.add(record, time);
    group.since = Math.min(group.since, time);
    group.until = Math.max(group.until, time);
    group.idSince = Math.min(group.idSince, idTime ?? time);
    group.idUntil = Math.max(group.idUntil, idTime ?? time);
    this.waiting++;
    if (group.lines.length === groupLimit || group.length > lengthLimit) {
      this.full.push(group);
      this.open = undefined;
    }
    this.schedule();
    return group.committed;
  }

  /** Commits what is pending now without waiting for more; resolves when all of it is settled. */
  async flush(): Promise<void> {
    const pending = [this.running, ...this.full, this.open].flatMap((group) => group?.committed ?? []);
    if (pending.length === 0) return;
    this.flushes++;
    this.commitNext();
    await Promise.allSettled(pending);
    this.flushes--;
  }

  private schedule(): void {
    if (this.committing) return;
    if (this.full.length > 0 || (this.open !== undefined && this.open.lines.length >= enough)) this.commitNext();
    else if (this.timer === undefined && this.open !== undefined) {
      if (this.lastSize < alone || this.flushes > 0) this.timer = setImmediate(() => this.commitNext());
      else this.waitForMore(this.open.lines.length, patience);
    }
  }

  private waitForMore(seen: number, ticks: number): void {
    this.timer = setTimeout(() => {
      const size = this.open?.lines.length ?? 0;
      if (ticks === 1 || size === seen) this.commitNext();
      else this.waitForMore(size, ticks - 1);
    }, 1);
  }

  private commitNext(): void {
    if (this.committing) return;
    clearTimeout(this.timer as NodeJS.Timeout);
    clearImmediate(this.timer as NodeJS.Immediate);
    this.timer = undefined;
    let group = this.full.shift();
    if (group === undefined) {
      group = this.open;
      this.open = undefined;
    }
    if (group === undefined) return;
    void this.run(group);
  }

  private async run(group: OpenGroup): Promise<void> {
    this.committing = true;
    this.running = group;
    try {
      await this.commit(group);
      group.settle();
    } catch (error) {
      group.settle(error);
    }
    this.committing = false;
    this.running = undefined;
    this.lastSize = group.lines.length;
    this.waiting -= group.lines.length;
    this.waitingLength -= group.length;
    this.schedule();
  }
}

function openGroup(common: CommonMembers): OpenGroup {
  let settle!: OpenGroup['settle'];
  const committed = new Promise<void>((resolve, reject) => {
    settle = (error) => (error === undefined ? resolve() : reject(error));
  });
  // The caller of `append` gets the failure. If nothing waits for it, it must not end the process.
  committed.catch(() => undefined);
  return {
    common,
    texts: commonTexts(common),
    lines: [],
    wholes: [],
    keys: commonKeys(common),
    tally: new Tally(),
    since: Number.MAX_SAFE_INTEGER,
    until: 0,
    idSince: Number.MAX_SAFE_INTEGER,
    idUntil: 0,
    committed,
    settle,
    length: 0,
  };
}
