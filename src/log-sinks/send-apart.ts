import { type OutgoingRecord, RecordsRefused } from './record-sink.js';

/** A receiver that has refused this many records, and taken none, refuses all: that is not the fault of a record. */
const mostWithoutOne = 8;

/**
 * Sends records, and where the receiver refuses them for what is in them, halves of them, down to the ones that it does not take. They
 * are returned. One is given up only beside others that were taken: a receiver that takes none is set up wrongly, and gets them later.
 *
 * @param send throws `RecordsRefused` for records that the receiver will not take
 * @throws what `send` throws else, and `RecordsRefused` if nothing was taken
 */
export async function sendApart(
  records: readonly OutgoingRecord[],
  send: (records: readonly OutgoingRecord[]) => Promise<void>,
): Promise<readonly OutgoingRecord[]> {
  const refused: OutgoingRecord[] = [];
  let taken = 0;
  async function part(some: readonly OutgoingRecord[]): Promise<void> {
    try {
      await send(some);
      taken += some.length;
    } catch (error) {
      if (!(error instanceof RecordsRefused)) throw error;
      if (some.length === 1) {
        refused.push(some[0]!);
        if (taken === 0 && (refused.length >= mostWithoutOne || refused.length === records.length)) throw error;
        return;
      }
      const middle = some.length >> 1;
      await part(some.slice(0, middle));
      await part(some.slice(middle));
    }
  }
  await part(records);
  return refused;
}
