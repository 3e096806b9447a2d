import { describe, expect, it } from 'vitest';
import { digestOf, environmentOf } from '../../src/auth/api-key.js';
import type { ManagedKeys } from '../../src/auth/managed-keys.js';

/** A place where keys are kept, empty at first. */
export interface KeysHome {
  /** Opens the keys there, beside others that may be open. Closed when the test ends. */
  open(): Promise<ManagedKeys>;
}

const now = Date.UTC(2026, 10, 21, 12);
const shop = { name: 'shop', scopes: ['decide'] };

/** What every store of keys must do, wherever they are kept. */
export function describeManagedKeys(name: string, newHome: () => KeysHome): void {
  describe(`managed keys in ${name}`, () => {
    it('come back as they were made, without their text; what was left out is not there', async () => {
      const home = newHome();
      const keys = await home.open();
      const whole = {
        name: 'whole',
        owner: 'ann',
        scopes: ['decide:invoices', 'metrics:read'],
        policySets: ['invoices', "a'b"],
        addresses: ['10.0.0.0/8', '2001:db8::/32'],
        dailyQuota: 1_000,
        expires: now + 1_000,
      };
      const text = await keys.create(whole, 'test', 'me', now);
      const plain = await keys.create({ name: 'plain', scopes: [] }, 'prod', 'you', now + 1);
      expect(environmentOf(text)).toBe('test');
      expect(environmentOf(plain)).toBe('prod');
      const again = await home.open();
      expect(await again.find('whole')).toEqual({
        ...whole,
        created: now,
        createdBy: 'me',
        secrets: [{ digest: digestOf(text), created: now }],
      });
      expect(await again.find('plain')).toEqual({
        name: 'plain',
        scopes: [],
        created: now + 1,
        createdBy: 'you',
        secrets: [{ digest: digestOf(plain), created: now + 1 }],
      });
      expect(JSON.stringify(await again.list())).not.toContain(text.split('_')[2]);
    });

    it('are listed in the order of their names, revoked ones too; a name that was never given out is not found', async () => {
      const keys = await newHome().open();
      for (const each of ['b', 'c', 'a']) await keys.create({ name: each, scopes: ['decide'] }, 'test', 'me', now);
      await keys.revoke('b', now + 1);
      const listed = await keys.list();
      expect(listed.map(({ name, revoked }) => [name, revoked])).toEqual([
        ['a', undefined],
        ['b', now + 1],
        ['c', undefined],
      ]);
      for (const key of listed) expect(await keys.find(key.name)).toEqual(key);
      for (const each of ['d', '', 'A', '%']) expect(await keys.find(each)).toBeUndefined();
    });

    it('have names of their own, by more than the case of letters', async () => {
      const keys = await newHome().open();
      const create = (name: string) => keys.create({ name, scopes: ['decide'] }, 'test', 'me', now);
      await create('shop');
      for (const each of ['shop', 'SHOP', 'Shop']) {
        await expect(create(each)).rejects.toMatchObject({ code: 'api_key_exists' });
      }
      await create('shop2');
      expect((await keys.list()).map(({ name }) => name)).toEqual(['shop', 'shop2']);
    });

    it('of one name that two processes make at once are one key', async () => {
      const home = newHome();
      const processes = [await home.open(), await home.open()];
      const outcomes = await Promise.allSettled(processes.map((keys) => keys.create(shop, 'test', 'me', now)));
      const made = outcomes.filter((outcome) => outcome.status === 'fulfilled');
      const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
      expect(made).toHaveLength(1);
      expect(refused.map(({ reason }) => reason)).toEqual([expect.objectContaining({ code: 'api_key_exists' })]);
      expect((await processes[0]!.find('shop'))!.secrets.map(({ digest }) => digest)).toEqual([
        digestOf(made[0]!.value),
      ]);
    });

    it('are rotated: the secret before ends with the overlap, an older one at once, and none lives longer than it did', async () => {
      const keys = await newHome().open();
      const ends = async () => (await keys.find('shop'))!.secrets.map(({ expires }) => expires);
      await keys.create(shop, 'test', 'me', now);
      const second = await keys.rotate('shop', 'test', 60_000, now);
      expect(await ends()).toEqual([now + 60_000, undefined]);
      await keys.rotate('shop', 'test', 60_000, now + 1);
      expect(await ends()).toEqual([now + 1, now + 60_001, undefined]);
      expect((await keys.find('shop'))!.secrets[1]!.digest).toBe(digestOf(second));
      await keys.rotate('shop', 'test', 90_000, now + 2);
      expect(await ends()).toEqual([now + 1, now + 2, now + 90_002, undefined]);
    });

    it('do not come back: a name is given out once, and a revoked key is not rotated', async () => {
      const keys = await newHome().open();
      await keys.create(shop, 'test', 'me', now);
      await keys.revoke('shop', now);
      await expect(keys.create(shop, 'test', 'me', 0)).rejects.toMatchObject({ code: 'api_key_exists' });
      await expect(keys.rotate('shop', 'test', 0, 0)).rejects.toMatchObject({ code: 'api_key_not_found' });
      await expect(keys.rotate('nobody', 'test', 0, 0)).rejects.toMatchObject({ code: 'api_key_not_found' });
      await expect(keys.revoke('nobody', 0)).rejects.toMatchObject({ code: 'api_key_not_found' });
      await keys.revoke('shop', now + 5);
      expect((await keys.find('shop'))!.revoked).toBe(now);
    });

    it('note the latest use of each secret', async () => {
      const keys = await newHome().open();
      const first = digestOf(await keys.create(shop, 'test', 'me', now));
      const second = digestOf(await keys.rotate('shop', 'test', 60_000, now));
      const uses = async () => (await keys.find('shop'))!.secrets.map(({ lastUsed }) => lastUsed);
      await keys.used(new Map());
      expect(await uses()).toEqual([undefined, undefined]);
      await keys.used(
        new Map([
          [first, now + 5],
          [second, now + 7],
          ['0'.repeat(64), now],
        ]),
      );
      await keys.used(new Map([[first, now + 1]]));
      expect(await uses()).toEqual([now + 5, now + 7]);
    });

    it('have a number that every process sees change with each key made, rotated or revoked, and not with its uses', async () => {
      const home = newHome();
      const [keys, other] = [await home.open(), await home.open()];
      const seen = [await other.changes()];
      const text = await keys.create(shop, 'test', 'me', now);
      seen.push(await other.changes());
      await keys.rotate('shop', 'test', 0, now);
      seen.push(await other.changes());
      await keys.revoke('shop', now);
      seen.push(await other.changes());
      expect(new Set(seen).size).toBe(4);
      await keys.used(new Map([[digestOf(text), now]]));
      expect(await other.changes()).toBe(seen.at(-1));
    });
  });
}
