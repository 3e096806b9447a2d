/** `GET /v1/decisions/stream` over real sockets. */
import { request as askHttp, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { DecisionStream } from '../../src/decision-log/decision-stream.js';
import { type KeyedService, startKeyedService } from '../security/keyed-service.js';

let keyed: KeyedService;
let port: number;

beforeAll(async () => {
  keyed = await startKeyedService({
    admin: 'scopes: [decide, "decisions:read"]',
    clerk: 'scopes: ["decide:invoices", "decisions:read:invoices"]',
    plain: 'scopes: [decide]',
  });
  await keyed.service.app.listen(0, '127.0.0.1');
  port = Number(new URL(await keyed.service.app.getUrl()).port);
});

afterAll(() => keyed.stop());

/** A stream, and what came of it so far. */
class Stream {
  /** What came and is no event with a record. */
  text = '';
  // biome-ignore lint/suspicious/noExplicitAny: a record as it was sent
  readonly events: { readonly id: string; readonly record: any }[] = [];
  private rest = '';
  private watchers: (() => void)[] = [];

  private constructor(readonly response: IncomingMessage) {
    response.setEncoding('utf8');
    response.on('data', (text: string) => {
      this.take(text);
      for (const watcher of this.watchers.splice(0)) watcher();
    });
    for (const end of ['end', 'close', 'error']) response.on(end, () => this.watchers.splice(0).map((wake) => wake()));
  }

  static async open(query = '', headers: Record<string, string> = {}, key = 'admin', to = port): Promise<Stream> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const path = `/v1/decisions/stream${query}`;
      const all = { 'x-api-key': keyed.keys[key]!, ...headers };
      askHttp({ port: to, host: '127.0.0.1', path, headers: all, agent: false }, resolve).on('error', reject).end();
    });
    const stream = new Stream(response);
    onTestFinished(() => void response.destroy());
    return stream;
  }

  private take(text: string): void {
    const blocks = (this.rest + text).split('\n\n');
    this.rest = blocks.pop()!;
    for (const block of blocks) {
      const id = /^id: (.*)$/m.exec(block)?.[1];
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (id !== undefined && data !== undefined) this.events.push({ id, record: JSON.parse(data) });
      else this.text += `${block}\n\n`;
    }
  }

  get subjects(): string[] {
    return this.events.map(({ record }) => record.request.subject.id);
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        this.watchers.push(resolve);
      });
    }
  }
}

const decide = (subject: string, policySet = 'default', attributes?: object) =>
  keyed.as('admin', 'POST', '/v1/decide', { subject, action: 'read', resource: 'doc', policySet, attributes });

it('sends each decision as it is in the log, to those whose filters it passes, and goes on behind the last event', async () => {
  const all = await Stream.open();
  expect(all.response.statusCode).toBe(200);
  expect(all.response.headers).toMatchObject({
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
    'x-content-type-options': 'nosniff',
  });
  const some = await Stream.open(
    `?decision=deny&filter=${encodeURIComponent("subject in ('bob', 'ann')")}&expand=resolved`,
  );
  for (const subject of ['ann', 'bob', 'eve']) await decide(subject);
  await all.until(() => all.events.length === 3);
  const { items } = (await keyed.as('admin', 'GET', '/v1/decisions?limit=3')).json();
  expect(all.events.map(({ record }) => record)).toEqual(items.toReversed());
  await some.until(() => some.events.length === 1);
  expect(some.events[0]!.record.resolved).toMatchObject({ subject: { id: 'bob' }, resource: { id: 'doc' } });
  all.response.destroy();
  await decide('later');
  const again = await Stream.open('', { 'last-event-id': all.events[1]!.id });
  await again.until(() => again.events.length === 2);
  expect(again.subjects).toEqual(['eve', 'later']);
});

it('shows a caller the sets that it may see, under ids that say nothing of others', async () => {
  const clerk = await Stream.open('', {}, 'clerk');
  await decide('ann');
  await decide('ann', 'invoices');
  await decide('bob', 'invoices');
  await clerk.until(() => clerk.events.length === 2);
  expect(clerk.events.map(({ record }) => [record.policySet, record.sequence])).toEqual([
    ['invoices', undefined],
    ['invoices', undefined],
  ]);
  expect(clerk.events.every(({ id }) => !id.startsWith('1:'))).toBe(true);
  expect(clerk.text).not.toMatch(/id: 1:/);
  const again = await Stream.open('', { 'last-event-id': clerk.events[0]!.id }, 'clerk');
  await again.until(() => again.events.length === 1);
  expect(again.subjects).toEqual(['bob']);
  // What others got, or made up, is refused.
  const all = await Stream.open();
  const plainId = /^id: (.*)$/m.exec(all.text)?.[1] ?? '';
  for (const id of [plainId, '1:0:', 'AAAA']) {
    expect((await Stream.open('', { 'last-event-id': id }, 'clerk')).response.statusCode, id).toBe(400);
  }
});

it('refuses what is wrong before it begins', async () => {
  for (const [query, headers, key, status] of [
    ['?filter=subject.level%20%3E', {}, 'admin', 400],
    ['?from=yesterday', {}, 'admin', 400],
    ['?limit=5', {}, 'admin', 400],
    ['?expand=all', {}, 'admin', 400],
    ['', { 'last-event-id': 'x' }, 'admin', 400],
    ['', {}, 'plain', 403],
    ['', { 'x-api-key': 'vd_test_wrong' }, 'plain', 401],
  ] as const) {
    const { response } = await Stream.open(query, headers, key);
    expect(response.statusCode, query).toBe(status);
    expect(response.headers['content-type']).toMatch(/^application\/problem\+json/);
  }
});

it('drops a client that does not read; others go on, and it can come back', async () => {
  const quick = await Stream.open();
  const slow = await Stream.open();
  await decide('first');
  await slow.until(() => slow.events.length === 1);
  const { id } = slow.events[0]!;
  slow.response.pause();
  const { size } = keyed.service.app.get(DecisionStream);
  const text = 'x'.repeat(100_000);
  let written = 0;
  while (keyed.service.app.get(DecisionStream).size === size) {
    await decide(`s${written++}`, 'default', { text });
    await quick.until(() => quick.events.length >= written + 1);
  }
  const closed = new Promise((resolve) => slow.response.once('close', resolve));
  slow.response.on('error', () => undefined);
  slow.response.resume();
  await closed;
  expect(slow.response.complete).toBe(false);
  expect(slow.events.length).toBeLessThan(written);
  const again = await Stream.open('', { 'last-event-id': id });
  await again.until(() => again.events.length >= written);
  expect(again.subjects).toEqual(Array.from({ length: written }, (_, i) => `s${i}`));
}, 60_000);

it('notices a client that has gone, and ends the streams when the service stops', async () => {
  const own = await startKeyedService({ admin: 'scopes: ["decisions:read"]' });
  await own.service.app.listen(0, '127.0.0.1');
  const ownPort = Number(new URL(await own.service.app.getUrl()).port);
  const headers = { 'x-api-key': own.keys.admin! };
  const stream = await Stream.open('', headers, 'admin', ownPort);
  const gone = connect(ownPort, '127.0.0.1');
  gone.write(`GET /v1/decisions/stream HTTP/1.1\r\nhost: x\r\nx-api-key: ${own.keys.admin}\r\n\r\n`);
  await new Promise((resolve) => gone.once('data', resolve));
  const streams = own.service.app.get(DecisionStream);
  expect(streams.size).toBe(2);
  gone.destroy();
  await expect.poll(() => streams.size).toBe(1);
  await stream.until(() => stream.text.includes('id: '));
  const ended = new Promise((resolve) => stream.response.once('end', resolve));
  await own.stop();
  await ended;
  expect(stream.response.complete).toBe(true);
});

it('ends within a second where the credential is revoked, and is refused then', async () => {
  const admin = await startKeyedService({ admin: 'scopes: ["keys:admin", "decisions:read"]' });
  await admin.service.app.listen(0, '127.0.0.1');
  const ownPort = Number(new URL(await admin.service.app.getUrl()).port);
  const made = await admin.as('admin', 'POST', '/v1/api-keys', { name: 'reader', scopes: ['decisions:read'] });
  const headers = { 'x-api-key': made.json().key };
  const revoked = await Stream.open('', headers, 'admin', ownPort);
  const kept = await Stream.open('', { 'x-api-key': admin.keys.admin! }, 'admin', ownPort);
  const streams = admin.service.app.get(DecisionStream);
  expect([revoked, kept].map(({ response }) => response.statusCode)).toEqual([200, 200]);
  const ended = new Promise((resolve) => revoked.response.once('end', resolve));
  await admin.as('admin', 'DELETE', '/v1/api-keys/reader');
  await ended;
  expect(streams.size).toBe(1);
  expect((await Stream.open('', headers, 'admin', ownPort)).response.statusCode).toBe(401);
  await admin.stop();
});
