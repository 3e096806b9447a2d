import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type FastifyInstance, fastify } from 'fastify';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { answerInParts } from '../../src/http/answer-in-parts.js';
import type { BatchPart } from '../../src/pdp/pdp.js';
import { nextTurn } from '../../src/turns/turns.js';

let app: FastifyInstance;
beforeEach(() => {
  app = fastify();
});
afterEach(() => app.close());

async function answered(parts: () => AsyncGenerator<BatchPart, void>): Promise<IncomingMessage> {
  app.get('/', (_request, reply) => answerInParts(reply, '[', parts(), ']'));
  await app.listen({ port: 0, host: '127.0.0.1' });
  const { port } = app.server.address() as AddressInfo;
  const [response] = (await once(get({ port, host: '127.0.0.1', path: '/', agent: false }), 'response')) as [
    IncomingMessage,
  ];
  return response;
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  response.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  response.on('error', () => undefined);
  await new Promise((resolve) => response.once('close', resolve));
  return text;
}

const part = (isEnd: boolean, ...values: unknown[]): BatchPart => ({
  texts: values.map((value) => JSON.stringify(value)),
  isEnd,
});

it('one part leaves as one text of a known length', async () => {
  const response = await answered(async function* () {
    yield part(true, 1, 'é');
  });
  expect(response.headers['content-length']).toBe('8');
  expect(JSON.parse(await textOf(response))).toEqual([1, 'é']);
});

it('several leave as they come, and empty ones leave no trace', async () => {
  const response = await answered(async function* () {
    yield part(false, 1, 2);
    yield part(false);
    yield part(false, 3);
    yield part(true);
  });
  expect(JSON.parse(await textOf(response))).toEqual([1, 2, 3]);
  expect(response.complete).toBe(true);
});

it.each([
  [
    'fails',
    async function* () {
      yield part(false, 1);
      throw new Error('broken');
    },
  ],
  [
    'ends without its end',
    async function* () {
      yield part(false, 1);
    },
  ],
])('a list that %s breaks the connection off', async (_how, parts) => {
  const response = await answered(parts as () => AsyncGenerator<BatchPart, void>);
  await textOf(response);
  expect(response.complete).toBe(false);
});

it('no part is made ahead of a reader who does not read, and the rest is when it does', async () => {
  const PARTS = 1_000;
  let made = 0;
  const response = await answered(async function* () {
    while (made < PARTS) {
      made++;
      yield part(made === PARTS, 'x'.repeat(64 * 1024));
    }
  });
  response.pause();
  // Until the kernel takes no more for the reader.
  let before = -1;
  while (before !== made) {
    before = made;
    for (let n = 0; n < 300; n++) await nextTurn();
  }
  expect(made).toBeLessThan(PARTS / 2);
  let length = 0;
  for await (const chunk of response) length += chunk.length;
  expect(length).toBe(PARTS * (64 * 1024 + 3) + 1);
});

it('parts end when the reader goes', async () => {
  let ended = false;
  const response = await answered(async function* () {
    try {
      for (;;) yield part(false, 'x'.repeat(64 * 1024));
    } finally {
      ended = true;
    }
  });
  response.destroy();
  await expect.poll(() => ended).toBe(true);
});
