/**
 * An export that proves itself: NDJSON, oldest first, with the hashes of the records that its filter leaves out.
 *
 *     {"key":"verdict-replica+…","certificates":["…"]}
 *     {"checkpoint":"verdict/…"}
 *     {"tree":"5d0b…","writer":"5d0b…","entries":0,"frontier":"","start":1}       what follows is of this tree, from here on
 *     {"entry":0,"first":1,"records":[{"salt":"…","record":{…}},"q83v…="]}         a group: a record, and the hash of one left out
 *     {"entry":0,"first":1,"records":[{"leaf":"…","record":{…}}]}                  a record that was erased
 *     {"entry":1,"gap":{"after":2,"cause":"queue_full","lost":3,"since":…,"until":…}}
 *     {"entry":2,"leaf":"…"}                                                      an entry whose records the retention removed
 *     {"end":true}                                                               an export without it was cut off
 *
 * Bytes are in base64. Keys and checkpoints come first.
 */
import { once } from 'node:events';
import { PassThrough, type Readable } from 'node:stream';
import { Turns } from '../../turns/turns.js';
import type { DecisionRecord } from '../decision-record.js';
import { matchingRecords, type RecordFilter } from '../record-filter.js';
import { hasSalt, saltBytes } from './group-hashes.js';
import type { CertifiedKey } from './log-keys.js';
import { exportedBytes, type LogVerification } from './log-verification.js';
import { Frontier, hashBytes, type TreeHash } from './merkle-tree.js';
import type { ProofSink, ProvenRecords, StoredProofGap, StoredProofGroup, TreePart } from './proof-sink.js';

/** Bytes of lines that wait before they are written. */
const pieceLength = 64 * 1024;

/** A log that cannot be exported with its proof, since it is damaged: it is to be verified where it lies. */
export class UnprovenLog extends Error {
  override readonly name = 'UnprovenLog';
}

/** Writes the export. `write` resolves when more may be written. */
export class ProvenExport implements ProofSink {
  private waiting = '';

  constructor(
    private readonly write: (text: string) => Promise<void>,
    private readonly filter: RecordFilter,
    private readonly turns: Turns,
  ) {}

  key(key: CertifiedKey): void {
    this.line(key);
  }

  checkpoint(note: string): void | Promise<void> {
    return this.line({ checkpoint: note });
  }

  unprovedRecords(count: number): void {
    if (count > 0) this.line({ unproved: count });
  }

  begin({ tree, journal, begun, start }: TreePart): void {
    const frontier = begun.encode().toString('base64');
    this.line({ tree, writer: journal, entries: begun.size, frontier, start });
  }

  async group({ first, count, entry, leaves, salts, text, isUndecryptable }: StoredProofGroup): Promise<void> {
    if (isUndecryptable) throw new UnprovenLog(`the records from sequence ${first} on cannot be decrypted`);
    if (entry === null || leaves === null || salts == null || text === undefined)
      throw new UnprovenLog(`the records from sequence ${first} on are outside the tree`);
    const found = new Map<number, DecisionRecord>();
    for await (const record of matchingRecords({ first, records: text }, this.filter, this.turns))
      found.set(record.sequence, record);
    // Written one by one, since a group can have a megabyte.
    let line = `{"entry":${entry},"first":${first},"records":[`;
    for (let i = 0; i < count; i++) {
      const record = found.get(first + i);
      const leaf = () => leaves.toString('base64', i * hashBytes, (i + 1) * hashBytes);
      let each: object | string;
      if (record === undefined) each = leaf();
      else if (!hasSalt(salts, i)) each = { leaf: leaf(), record };
      else each = { salt: salts.toString('base64', i * saltBytes, (i + 1) * saltBytes), record };
      line += `${i === 0 ? '' : ','}${JSON.stringify(each)}`;
      if (this.turns.isOver) await this.turns.next();
    }
    await this.add(`${line}]}\n`);
  }

  gap({ after, lost, since, until, cause, entry }: StoredProofGap): void | Promise<void> {
    return this.line({ entry, gap: { after, cause, lost, since, until } });
  }

  removed(entry: number, leaf: TreeHash): void | Promise<void> {
    return this.line({ entry, leaf: leaf.toString('base64') });
  }

  misplaced(place: string, what: string): void {
    throw new UnprovenLog(`${place}: ${what}`);
  }

  unreadable(place: string): void {
    throw new UnprovenLog(`${place} cannot be read`);
  }

  async end(): Promise<void> {
    await this.line({ end: true });
    await this.flush();
  }

  private line(value: object): void | Promise<void> {
    return this.add(`${JSON.stringify(value)}\n`);
  }

  private add(line: string): void | Promise<void> {
    this.waiting += line;
    if (this.waiting.length >= pieceLength) return this.flush();
  }

  private async flush(): Promise<void> {
    const text = this.waiting;
    this.waiting = '';
    await this.write(text);
  }
}

/**
 * Writes the records with what proves them. Of those that the filter leaves out it writes the hashes alone.
 *
 * @param write resolves when more may be written
 * @throws UnprovenLog when the log is damaged
 */
export async function writeProvenExport(
  { keys, read }: ProvenRecords,
  filter: RecordFilter,
  write: (text: string) => Promise<void>,
  { rowsAtOnce, turns = new Turns() }: { readonly rowsAtOnce?: number; readonly turns?: Turns } = {},
): Promise<void> {
  const written = new ProvenExport(write, filter, turns);
  for (const key of keys) written.key(key);
  await read(written, { withTexts: true, ...(rowsAtOnce !== undefined && { rowsAtOnce }) });
  await written.end();
}

/** An export has time, decisions do not: it waits this long before each turn, of which most take a millisecond. */
const pauseMs = 3;
/** Rows that a service reads at once: they become strings at once, half a megabyte in less than a millisecond. */
const fewRows = 4;

/** The same beside decisions, as a stream; who destroys it ends it. It is destroyed with the error of what is wrong. */
export function provenExportStream(records: ProvenRecords, filter: RecordFilter): Readable {
  const stream = new PassThrough();
  const ended = new AbortController();
  stream.once('close', () => ended.abort());
  const write = async (text: string) => {
    ended.signal.throwIfAborted();
    if (!stream.write(text)) await once(stream, 'drain', { signal: ended.signal });
  };
  writeProvenExport(records, filter, write, { rowsAtOnce: fewRows, turns: new Turns(pauseMs) }).then(
    () => stream.end(),
    (error: Error) => stream.destroy(error),
  );
  return stream;
}

/** A line of an export that has another form. */
export class WrongExport extends Error {
  override readonly name = 'WrongExport';
}

/**
 * Verifies an export, line by line.
 *
 * @param begin makes the verification when all keys of the export are known
 * @throws WrongExport where already the first lines have another form
 */
export async function verifyExport(
  lines: AsyncIterable<string>,
  begin: (keys: readonly CertifiedKey[]) => LogVerification,
): Promise<LogVerification> {
  const keys: CertifiedKey[] = [];
  let verification: LogVerification | undefined;
  let isWhole = false;
  let number = 0;
  for await (const line of lines) {
    number++;
    if (isWhole) throw new WrongExport(`line ${number} is behind the end`);
    try {
      // biome-ignore lint/suspicious/noExplicitAny: what a line holds is found out here, and what does not fit throws
      const value = JSON.parse(line) as any;
      if (typeof value.key === 'string') keys.push({ key: value.key, certificates: value.certificates });
      else {
        verification ??= begin(keys);
        if (value.end === true) isWhole = true;
        else takeLine(verification, value);
      }
    } catch (error) {
      if (verification !== undefined) {
        verification.unreadableLine(number);
        verification.end();
        return verification;
      }
      throw new WrongExport(`line ${number} is none of an export with its proof`, { cause: error });
    }
  }
  verification ??= begin(keys);
  if (!isWhole) verification.cutOff();
  verification.end();
  return verification;
}

// biome-ignore lint/suspicious/noExplicitAny: as above
function takeLine(verification: LogVerification, value: any): void {
  if (typeof value.checkpoint === 'string') verification.checkpoint(value.checkpoint, 'the export');
  else if (typeof value.unproved === 'number') verification.unprovedRecords(value.unproved);
  else if (typeof value.tree === 'string') {
    verification.begin({
      journal: String(value.writer),
      tree: value.tree,
      place: `the export, writer ${value.writer}`,
      begun: Frontier.decode(value.entries, exportedBytes(value.frontier)),
      start: value.start,
      writer: 0,
    });
  } else if (Array.isArray(value.records)) verification.exported(value.entry, value.first, value.records);
  else if (value.gap !== undefined) verification.gap({ ...value.gap, entry: value.entry, node: undefined });
  else if (typeof value.leaf === 'string') verification.removed(value.entry, exportedBytes(value.leaf));
  else throw new Error('it has none of the members');
}
