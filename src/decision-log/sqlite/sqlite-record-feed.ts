import { Turns } from '../../turns/turns.js';
import type { DecisionRecord } from '../decision-record.js';
import { recordsOf } from '../group-text.js';
import type { FedRecord, FedRecords, RecordFeed } from '../record-feed.js';
import type { StreamPosition } from '../stream-position.js';
import { rowsOf } from './journal-tail.js';
import type { LogView } from './log-view.js';

/** Records that are read at a time, about, and their text in characters. */
const recordsAtOnce = 1_024;
const lengthAtOnce = 512 * 1024;

/** The journal as it grows: of one writer, whatever number its files have. */
export class SqliteRecordFeed implements RecordFeed {
  private readonly listeners = new Set<() => void>();

  /**
   * @param view the journal as it is now
   * @param writer the number of its writer
   */
  constructor(
    private readonly view: () => Promise<LogView>,
    private readonly writer: number,
  ) {}

  async end(): Promise<StreamPosition> {
    const { name, end } = await this.view();
    return this.positionAt(name, end);
  }

  async readOn(position: StreamPosition): Promise<FedRecords> {
    const view = await this.view();
    const start = position.log === (view.name ?? '') ? (position.writers.get(this.writer) ?? 0) : 0;
    const records: FedRecord[] = [];
    const turns = new Turns();
    let after = start;
    let length = 0;
    const isEnough = (): boolean => records.length >= recordsAtOnce || length >= lengthAtOnce;
    for (const unit of view.units.toReversed()) {
      while (after < unit.last && !isEnough()) {
        const rows = await rowsOf(view, unit, Math.max(after, unit.first - 1));
        if (rows === undefined || rows.length === 0) {
          after = unit.last;
          break;
        }
        for (const row of rows) {
          if (turns.isOver) await turns.next();
          const stored = 'records' in row ? row : { first: row.first, records: row.text.toString() };
          length += stored.records.length;
          let last = stored.first - 1;
          const found: DecisionRecord[] = [];
          for (const record of recordsOf(stored, [], (sequence) => {
            last = Math.max(last, sequence);
          })) {
            last = Math.max(last, record.sequence);
            // What was committed since the view was taken is read with the next one.
            if (record.sequence > after && record.sequence <= view.end) found.push(record);
          }
          for (const record of found.reverse()) records.push({ writer: this.writer, record });
          after = Math.max(after, Math.min(last, view.end));
          if (isEnough()) break;
        }
      }
    }
    const isEnd = after >= view.end || !isEnough();
    return { records, position: this.positionAt(view.name, isEnd ? Math.max(after, view.end) : after), isEnd };
  }

  subscribe(listener: () => void): { end(): void } {
    this.listeners.add(listener);
    return { end: () => void this.listeners.delete(listener) };
  }

  /** Says that something was committed. */
  committed(): void {
    for (const listener of this.listeners) listener();
  }

  private positionAt(name: string | undefined, end: number): StreamPosition {
    return { log: name ?? '', writers: new Map([[this.writer, end]]) };
  }
}
