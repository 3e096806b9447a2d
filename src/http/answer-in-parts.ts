import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { BatchPart } from '../pdp/pdp.js';

/** Most text that is made ahead of the reader, in bytes. */
const aheadBytes = 64 * 1024;

/**
 * Sends a list, between `head` and `tail`, part by part. A failure before the first part is thrown and answered as a
 * problem. After the first part the status has been sent: a later failure closes the connection, so that no reader
 * takes a part for the whole list.
 */
export async function answerInParts(
  reply: FastifyReply,
  head: string,
  parts: AsyncGenerator<BatchPart, void>,
  tail: string,
): Promise<FastifyReply> {
  const first = await parts.next();
  reply.header('content-type', 'application/json; charset=utf-8');
  if (first.done === true) return breakOff(reply);
  const beginning = head + first.value.texts.join(',');
  if (first.value.isEnd) return reply.send(beginning + tail);
  return reply.send(Readable.from(inText(beginning, parts, tail), { objectMode: false, highWaterMark: aheadBytes }));
}

/** True if the client has gone. A request can be read to its end although its connection is closed. */
export function isGone({ raw }: FastifyRequest): boolean {
  // Requests that tests inject have no real socket.
  return raw.socket?.destroyed === true;
}

async function* inText(
  beginning: string,
  parts: AsyncGenerator<BatchPart, void>,
  tail: string,
): AsyncGenerator<string> {
  yield beginning;
  for await (const { texts, isEnd } of parts) {
    if (texts.length > 0) yield `,${texts.join(',')}`;
    if (isEnd) {
      yield tail;
      return;
    }
  }
  throw new Error('the caller of a batch has gone');
}

/** For a request whose client has gone. */
function breakOff(reply: FastifyReply): FastifyReply {
  reply.hijack();
  reply.raw.destroy();
  return reply;
}
