import { describe, expect, it } from 'vitest';
import { type OutgoingRecord, RecordsRefused } from '../../src/log-sinks/record-sink.js';
import { sendApart } from '../../src/log-sinks/send-apart.js';

const records = (count: number): OutgoingRecord[] =>
  Array.from({ length: count }, (_, i) => ({ text: `${i}` }) as OutgoingRecord);
const textsOf = (some: readonly OutgoingRecord[]) => some.map(({ text }) => text);

/** A receiver that does not take some of them, nor any request with one. */
function receiver(...bad: string[]) {
  const taken: string[] = [];
  let requests = 0;
  return {
    taken,
    requests: () => requests,
    send: async (some: readonly OutgoingRecord[]) => {
      requests++;
      if (some.some(({ text }) => bad.includes(text))) throw new RecordsRefused('bad');
      taken.push(...textsOf(some));
    },
  };
}

describe('records of which the receiver refuses some', () => {
  it.each([[[]], [['0']], [['7']], [['3', '4']], [['0', '9']]])('arrive in order but for %j', async (bad) => {
    const { send, taken } = receiver(...bad);
    const all = records(10);
    expect(textsOf(await sendApart(all, send))).toEqual(bad);
    expect(taken).toEqual(textsOf(all).filter((text) => !bad.includes(text)));
  });

  it('are found in few requests: of a thousand one in twenty', async () => {
    const { send, requests } = receiver('700');
    await sendApart(records(1_000), send);
    expect(requests()).toBeLessThanOrEqual(21);
  });

  it('are not given up where none was taken: the receiver is set up wrongly', async () => {
    const bad = textsOf(records(1_000));
    const { send, requests } = receiver(...bad);
    await expect(sendApart(records(1_000), send)).rejects.toThrow(RecordsRefused);
    expect(requests()).toBeLessThan(40);
    await expect(sendApart(records(1), receiver('0').send)).rejects.toThrow(RecordsRefused);
    await expect(sendApart(records(2), receiver('0', '1').send)).rejects.toThrow(RecordsRefused);
  });

  it('are kept, all of them, where something else fails', async () => {
    const send = async (some: readonly OutgoingRecord[]) => {
      throw some.length > 1 ? new RecordsRefused('bad') : new Error('away');
    };
    await expect(sendApart(records(4), send)).rejects.toThrow('away');
  });
});
