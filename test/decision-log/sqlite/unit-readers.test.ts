import { expect, it } from 'vitest';
import { SqliteConnection } from '../../../src/database/sqlite/sqlite-connection.js';
import { UnitReaders } from '../../../src/decision-log/sqlite/unit-readers.js';

it('a file that two have paused is opened again when both have resumed it', async () => {
  const opened: number[] = [];
  const readers = new UnitReaders((first) => {
    opened.push(first);
    return SqliteConnection.open({ path: ':memory:', busyTimeoutMs: 0 });
  });
  const read = (first: number) => readers.use(first, (connection) => connection.query('SELECT 1'));
  await read(1);
  // Its index is built, which takes the file's place at the end; meanwhile a check of the file begins.
  await readers.pause(1);
  await readers.pause(1);
  readers.resume(1);
  let isRead = false;
  const reading = read(1).then(() => {
    isRead = true;
  });
  // Another file is read meanwhile.
  await read(2);
  expect({ isRead, opened }).toEqual({ isRead: false, opened: [1, 2] });
  readers.resume(1);
  await reading;
  expect(opened).toEqual([1, 2, 1]);
  await readers.close();
});

it('a file that two pause at once is closed once, when nobody uses it any more', async () => {
  let closings = 0;
  const readers = new UnitReaders(async () => {
    const connection = await SqliteConnection.open({ path: ':memory:', busyTimeoutMs: 0 });
    const close = connection.close.bind(connection);
    connection.close = () => {
      closings++;
      return close();
    };
    return connection;
  });
  let end: (() => void) | undefined;
  const work = new Promise<void>((resolve) => {
    end = resolve;
  });
  let isUsed = false;
  const using = readers.use(1, () => {
    isUsed = true;
    return work;
  });
  await expect.poll(() => isUsed).toBe(true);
  // The retention removes it while an erasure puts another in its place.
  const pauses = [readers.pause(1), readers.retire(1)];
  end!();
  await Promise.all([using, ...pauses]);
  expect(closings).toBe(1);
  await readers.close();
});
