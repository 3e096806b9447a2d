import { describe, expect, it, onTestFinished } from 'vitest';
import type { DecisionLog } from '../../src/decision-log/decision-log.js';
import type { DecisionRecord } from '../../src/decision-log/decision-record.js';
import {
  DecisionStream,
  type FollowerSink,
  type Following,
  mostFollowersOfCaller,
} from '../../src/decision-log/decision-stream.js';
import { noVersions } from '../../src/decision-log/recorded-entities.js';
import { exampleRecord, noon } from './example-records.js';
import type { MakeLogHome } from './log-home.js';

interface StreamedEvent {
  readonly id: string;
  readonly record: DecisionRecord;
}

/** A reader that takes what comes, unless it is told to stop reading. */
class Reader {
  text = '';
  waiting = 0;
  isEnded = false;
  isDropped = false;
  isReading = true;
  private watchers: (() => void)[] = [];

  get sink(): FollowerSink {
    const reader = this;
    return {
      write: (text) => {
        this.text += text;
        if (!this.isReading) this.waiting += text.length;
        this.changed();
      },
      get waiting() {
        return reader.waiting;
      },
      drained: () => this.until(() => this.waiting === 0),
      end: () => {
        this.isEnded = true;
        this.changed();
      },
      drop: () => {
        this.isDropped = true;
        this.changed();
      },
    };
  }

  get events(): StreamedEvent[] {
    return this.text.split('\n\n').flatMap((block) => {
      const id = /^id: (.*)$/m.exec(block)?.[1];
      const data = /^data: (.*)$/m.exec(block)?.[1];
      return id === undefined || data === undefined ? [] : [{ id, record: JSON.parse(data) }];
    });
  }

  get subjects(): string[] {
    return this.events.map(({ record }) => record.request.subject.id);
  }

  /** The id that a client would come back with. */
  get lastId(): string {
    return [...this.text.matchAll(/^id: (.*)$/gm)].at(-1)![1]!;
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        this.watchers.push(resolve);
      });
    }
  }

  changed(): void {
    for (const watcher of this.watchers.splice(0)) watcher();
  }
}

function streamOf(log: DecisionLog): DecisionStream {
  const stream = new DecisionStream({
    feed: log.feed,
    versions: noVersions,
    seal: (text) => `sealed-${Buffer.from(text).toString('base64url')}`,
    unseal: (text) => Buffer.from(text.slice('sealed-'.length), 'base64url').toString(),
    onProblem: (what, error) => {
      throw new Error(what, { cause: error });
    },
  });
  onTestFinished(() => stream.stop());
  return stream;
}

const anybody: Following = {
  filters: {},
  policySets: undefined,
  caller: 'key a',
  lastEventId: undefined,
  isStillAdmitted: async () => true,
};

async function followed(stream: DecisionStream, following: Partial<Following> = {}) {
  const reader = new Reader();
  const all = { ...anybody, ...following };
  const leave = await stream.follow(all, () => reader.sink);
  return Object.assign(reader, { leave });
}

const append = (log: DecisionLog, subject: string, more: object = {}) =>
  log.append(exampleRecord(log, { now: noon, subject, ...more }));

/** Records come to those who follow the log. */
export function describeStreams(newHome: MakeLogHome): void {
  describe('a stream', () => {
    it('gives each record that is committed after it began, in order, to those whose filters it passes', async () => {
      const home = newHome();
      const log = await home.start();
      await append(log, 'before');
      await home.shared(log);
      const stream = streamOf(log);
      const everything = await followed(stream);
      const bobs = await followed(stream, { filters: { subject: 'bob' } });
      const denied = await followed(stream, {
        filters: { filter: "decision == 'deny' && resource.type == 'invoice'" },
      });
      const asBob = await followed(stream, { filters: { subject: 'bob', decision: 'deny' } });
      for (let n = 0; n < 60; n++) {
        await append(log, n % 3 === 0 ? 'bob' : `s${n}`, { decision: n % 2 === 0 ? 'deny' : 'allow' });
      }
      await home.shared(log);
      await everything.until(() => everything.events.length === 60);
      const { items } = await log.search({ limit: 60 });
      expect(everything.events.map(({ record }) => record)).toEqual(items.toReversed());
      await bobs.until(() => bobs.events.length === 20);
      expect(bobs.subjects.every((subject) => subject === 'bob')).toBe(true);
      await asBob.until(() => asBob.events.length === 10);
      // Their resources are not known: their version is in no archive.
      await denied.until(() => denied.events.length === 30);
      expect(stream.size).toBe(4);
      for (const reader of [everything, bobs, denied, asBob]) reader.leave();
      expect(stream.size).toBe(0);
    });

    it('goes on behind the last event, wherever it was left, without a record missing or twice', async () => {
      const home = newHome();
      const log = await home.start();
      const stream = streamOf(log);
      const first = await followed(stream);
      for (let n = 0; n < 30; n++) await append(log, `s${n}`);
      await home.shared(log);
      await first.until(() => first.events.length === 30);
      first.leave();
      for (let n = 30; n < 3_000; n++) void append(log, `s${n}`);
      await append(log, 's3000');
      await home.shared(log);
      for (const at of [0, 11, 29]) {
        const again = await followed(stream, { lastEventId: first.events[at]!.id });
        await again.until(() => again.events.length >= 3_000 - at);
        expect(again.subjects).toEqual(Array.from({ length: 3_000 - at }, (_, i) => `s${at + 1 + i}`));
        again.leave();
      }
    });

    it('somebody who comes back while others follow and records are written misses none and gets none twice', async () => {
      const home = newHome();
      const log = await home.start();
      const stream = streamOf(log);
      const steady = await followed(stream);
      let lastId = steady.lastId;
      const got: string[] = [];
      let written = 0;
      const write = async (count: number) => {
        for (let i = 0; i < count; i++) await append(log, `s${written++}`);
      };
      for (let round = 0; round < 8; round++) {
        const reader = await followed(stream, { lastEventId: lastId });
        const writing = write(40);
        await reader.until(() => reader.events.length > 10);
        reader.leave();
        got.push(...reader.subjects);
        ({ lastId } = reader);
        await writing;
        await home.shared(log);
      }
      await home.shared(log);
      const rest = await followed(stream, { lastEventId: lastId });
      await rest.until(() => got.length + rest.events.length >= written);
      expect([...got, ...rest.subjects]).toEqual(Array.from({ length: written }, (_, i) => `s${i}`));
      await steady.until(() => steady.events.length >= written);
      expect(steady.subjects).toEqual([...got, ...rest.subjects]);
    });

    it('who may see some sets alone sees only theirs, and no ids that count those of others', async () => {
      const home = newHome();
      const log = await home.start();
      const stream = streamOf(log);
      const some = await followed(stream, { policySets: ['orders'] });
      for (let n = 0; n < 10; n++) await append(log, `s${n}`, { policySet: n % 2 === 0 ? 'orders' : 'invoices' });
      await home.shared(log);
      await some.until(() => some.events.length === 5);
      expect(some.events.every(({ record }) => record.policySet === 'orders' && !('sequence' in record))).toBe(true);
      expect(some.events.every(({ id }) => id.startsWith('sealed-'))).toBe(true);
      const again = await followed(stream, { policySets: ['orders'], lastEventId: some.events[2]!.id });
      await again.until(() => again.events.length === 2);
      expect(again.subjects).toEqual(['s6', 's8']);
    });

    it('a reader that does not read is dropped, others go on, and it can come back', async () => {
      const home = newHome();
      const log = await home.start();
      const stream = streamOf(log);
      const slow = await followed(stream);
      const quick = await followed(stream);
      await append(log, 'first');
      await home.shared(log);
      await slow.until(() => slow.events.length === 1);
      const { lastId } = slow;
      slow.isReading = false;
      const text = 'x'.repeat(10_000);
      let written = 0;
      while (!slow.isDropped) {
        await append(log, `s${written++}`, { attributes: { text } });
        await home.shared(log);
        await quick.until(() => quick.events.length === written + 1);
      }
      expect(slow.waiting).toBeGreaterThan(1024 * 1024);
      const again = await followed(stream, { lastEventId: lastId });
      await again.until(() => again.events.length >= written);
      expect(again.subjects).toEqual(Array.from({ length: written }, (_, i) => `s${i}`));
    });

    it('says how a request is wrong before anything is sent, and how many may follow', async () => {
      const log = await newHome().start();
      const stream = streamOf(log);
      const open = () => {
        throw new Error('it was opened');
      };
      const all = anybody;
      for (const wrong of [
        { filters: { filter: 'subject.level >' } },
        { filters: { from: 'yesterday' } },
        { lastEventId: '' },
        { lastEventId: '17' },
        { lastEventId: '1:another-log:1-5.' },
        { lastEventId: `1:${'x'.repeat(100)}:` },
      ]) {
        await expect(stream.follow({ ...all, ...wrong }, open)).rejects.toMatchObject({ code: 'invalid_request' });
      }
      expect(stream.size).toBe(0);
      await Promise.all(Array.from({ length: mostFollowersOfCaller }, () => followed(stream)));
      await expect(stream.follow(all, open)).rejects.toMatchObject({ code: 'too_many_requests' });
      const other = await followed(stream, { caller: 'key b' });
      other.leave();
      await stream.stop();
      await expect(stream.follow(all, open)).rejects.toMatchObject({ code: 'shutting_down' });
    });

    it('ends with the service, behind what was sent', async () => {
      const home = newHome();
      const log = await home.start();
      const stream = streamOf(log);
      const reader = await followed(stream);
      await append(log, 'ann');
      await home.shared(log);
      await reader.until(() => reader.events.length === 1);
      await stream.stop();
      expect(reader).toMatchObject({ isEnded: true, isDropped: false });
    });
  });
}
