import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { BatchPart } from '../pdp/pdp.js';

/** Most text that is made before its reader has taken what came before, in bytes. */
const aheadBytes = 64 * 1024;

/**
 * Sends a list, between `head` and `tail`, as its parts come. What fails before the first part is thrown, and so answered
 * as a problem. Once a part has left there is no status to change any more: what fails then, or a list that ends without its
 * end, breaks the connection off, so that nobody takes a part for the whole.
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

/** Whether a request has nobody left to answer. Its connection may be gone while the request was read to its end. */
export function isGone({ raw }: FastifyRequest): boolean {
  // Requests that tests inject come over no socket.
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

/** Nobody is there to read an answer. */
function breakOff(reply: FastifyReply): FastifyReply {
  reply.hijack();
  reply.raw.destroy();
  return reply;
}
