/** Bodies that are begun and not ended, from one caller and from all. */
import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BodyRoom } from '../../src/http/body-room.js';
import { type KeyedService, startKeyedService } from './keyed-service.js';

describe('room for bodies', () => {
  it('is taken up to its end in all, up to its half by one caller, and given back', () => {
    const room = new BodyRoom(100);
    expect([room.take('a', 50), room.take('a', 1), room.take('b', 50), room.take('c', 1)]).toEqual([
      true,
      false,
      true,
      false,
    ]);
    room.giveBack('a', 50);
    expect([room.take('b', 1), room.take('c', 50)]).toEqual([false, true]);
  });
});

describe('bodies that are begun and not ended', () => {
  const MEBIBYTE = 1024 * 1024;
  let keyed: KeyedService;
  let sockets: Socket[];
  beforeEach(async () => {
    const entries = { shop: 'scopes: [decide]', other: 'scopes: [decide]' };
    keyed = await startKeyedService(entries, { maxBodiesBytes: 16 * MEBIBYTE });
    await keyed.service.app.listen(0, '127.0.0.1');
    sockets = [];
  });
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    await keyed.stop();
  });

  function begin(name: string, length: string): Socket {
    const { port } = keyed.service.app.getHttpServer().address() as AddressInfo;
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    socket.write(
      `POST /v1/decide/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${keyed.keys[name]}\r\nContent-Type: application/json\r\n${length}\r\n\r\n`,
    );
    return socket;
  }
  const question = { subject: 'ann', action: 'read', resource: 'doc' };
  const large = JSON.stringify({ requests: [question] }).padEnd(100_000);
  const ask = (name: string) =>
    keyed.as(name, 'POST', '/v1/decide/batch', large, { 'content-type': 'application/json' });

  it.each([
    ['announced', `Content-Length: ${8 * MEBIBYTE}`],
    ['of no announced length', 'Transfer-Encoding: chunked'],
  ])('%s take room from their own caller; small ones and others go on', async (_how, length) => {
    const taken = vi.spyOn(BodyRoom.prototype, 'take');
    const socket = begin('shop', length);
    await expect.poll(() => taken.mock.results.map(({ value }) => value)).toEqual([true]);
    taken.mockRestore();
    expect((await ask('shop')).statusCode).toBe(503);
    const refused = await ask('shop');
    expect(refused.json().type).toBe('urn:verdict:problem:bodies_in_progress');
    expect(refused.headers['retry-after']).toBe('1');
    expect((await keyed.as('shop', 'POST', '/v1/decide', question)).statusCode).toBe(200);
    expect((await ask('other')).statusCode).toBe(200);
    socket.destroy();
    await once(socket, 'close');
    await expect.poll(async () => (await ask('shop')).statusCode).toBe(200);
  });

  it('that are answered give their room back', async () => {
    for (let n = 0; n < 200; n++) expect((await ask('shop')).statusCode).toBe(200);
  });
});
