/** What every store of orders to erase persons must do. */
import { expect, it } from 'vitest';
import type { ErasureOrders, NewErasureOrder } from '../../../src/decision-log/erasure/erasure-orders.js';

const orderOf = (id: string, time: number): NewErasureOrder => ({
  id,
  kind: 'subject',
  digest: 'd'.repeat(64),
  reason: 'request 4711',
  by: 'ann',
  time,
});

/** @param open opens the same orders again and again; each is closed by the suite */
export function describeErasureOrders(open: () => Promise<ErasureOrders>): void {
  it('keeps orders, each once, and lists them, the newest first', async () => {
    const orders = await open();
    await orders.add(orderOf('0199-1', 1));
    await orders.add(orderOf('0199-2', 2));
    await orders.add(orderOf('0199-3', 3));
    await expect(orders.add(orderOf('0199-2', 2))).rejects.toThrow();
    const again = await open();
    expect((await again.list(2)).map(({ id }) => id)).toEqual(['0199-3', '0199-2']);
    expect((await again.list(2, '0199-2')).map(({ id }) => id)).toEqual(['0199-1']);
    expect(await again.find('0199-2')).toEqual({
      ...orderOf('0199-2', 2),
      about: 0,
      named: 0,
      held: 0,
      unreadable: 0,
      finished: null,
    });
    expect(await again.find('0199-4')).toBeUndefined();
    expect((await again.open()).map(({ id }) => id)).toEqual(['0199-1', '0199-2', '0199-3']);
    await orders.close();
    await again.close();
  });

  it('has one key, of two processes that ask at once', async () => {
    const [one, other] = [await open(), await open()];
    const [key, same] = await Promise.all([one.key(), other.key()]);
    expect(key).toHaveLength(32);
    expect(same.equals(key)).toBe(true);
    await one.close();
    await other.close();
  });

  it('adds up what was rewritten, and says what stays', async () => {
    const orders = await open();
    await orders.add(orderOf('0199-5', 5));
    await orders.count('0199-5', { about: 2, named: 1, held: 3 }, 1);
    await orders.count('0199-5', { about: 1, named: 0, held: 3 }, 1);
    expect(await orders.find('0199-5')).toMatchObject({ about: 3, named: 1, held: 3, unreadable: 1 });
    await orders.close();
  });

  it('says when the last one was made or carried out', async () => {
    const orders = await open();
    await orders.add(orderOf('0199-55', 1_000));
    expect(await orders.newest()).toBe(1_000);
    await orders.finish('0199-55', 2_000);
    // One that carries nothing out has nothing to note.
    const isOpen = (await orders.open()).some(({ id }) => id === '0199-55');
    expect(await orders.newest()).toBe(isOpen ? 1_000 : 2_000);
    await orders.close();
  });

  it('has all of them carried out again where records came back', async () => {
    const orders = await open();
    await orders.add(orderOf('0199-6', 6));
    await orders.finish('0199-6', 7);
    // One that carries nothing out has nothing to note.
    expect(await orders.reopen()).toBe(await orders.isAttended());
    expect((await orders.open()).map(({ id }) => id)).toContain('0199-6');
    await orders.close();
  });
}
