import { afterEach, describe, expect, it } from 'vitest';
import type { RoleTuple } from '../../../src/core/data/live-data.js';
import { entriesBefore } from '../../../src/policy-store/data/earlier-entries.js';
import {
  type EntriesChange,
  keyLifetimeMs,
  type LiveDataStore,
  type NewChange,
  type StoredEntries,
} from '../../../src/policy-store/data/live-data-store.js';

const at = 1_764_400_000_000;
const none: StoredEntries = { roles: [], entities: [] };
const user = (id: string, attributes = {}) => ({ type: 'user', id, attributes });

function change(after: number, parts: Partial<EntriesChange>, more: Partial<NewChange> = {}): NewChange {
  return {
    added: none,
    removed: none,
    after,
    by: 'ada',
    at: at + after,
    version: `sha256:${after}`,
    ...parts,
    ...more,
  };
}

const sorted = ({ roles, entities }: StoredEntries) => ({
  roles: roles.map((role) => role.join()).sort(),
  entities: entities.map((entity) => JSON.stringify(entity)).sort(),
});

/** What a store of live data must do, whichever database it is in. `open` gives another one of the same database each time. */
export function describeLiveDataStore(database: string, make: () => { open(): Promise<LiveDataStore> }): void {
  describe(`live data in ${database}`, () => {
    const opened: LiveDataStore[] = [];
    const started = () => {
      const { open } = make();
      return async () => {
        const store = await open();
        opened.push(store);
        return store;
      };
    };

    afterEach(async () => {
      await Promise.all(opened.splice(0).map((store) => store.close()));
    });

    const first = {
      roles: [
        ['g', 'user:ana', 'editor'],
        ['g2', 'user:ana', 'editor', ''],
        ['g2', 'user:ana', 'editor', 'd1'],
        ['g', 'ø☂\u{1F600}', '"quoted", and more'],
      ],
      entities: [user('ana', { level: 3, text: '\u0000\ud800', deep: { list: [null, 1.5] } }), user('ben')],
    };

    it('comes back as it was written, with its revision', async () => {
      const open = started();
      const store = await open();
      expect(await store.entries('acl')).toEqual({ ...none, revision: 0 });
      expect(await store.write('acl', change(0, { added: first }))).toBe(1);
      for (const each of [store, await open()]) {
        const { revision, ...entries } = await each.entries('acl');
        expect(revision).toBe(1);
        expect(sorted(entries)).toEqual(sorted(first));
        expect(await each.heads()).toEqual([{ name: 'acl', revision: 1 }]);
        expect(await each.entries('other')).toEqual({ ...none, revision: 0 });
      }
    });

    it('removes first, so that an entity gets other attributes', async () => {
      const store = await started()();
      await store.write('acl', change(0, { added: first }));
      const next = {
        removed: { roles: [['g2', 'user:ana', 'editor', '']], entities: [user('ben')] },
        added: { roles: [['g', 'user:ben', 'editor']], entities: [user('ben', { level: 1 })] },
      };
      expect(await store.write('acl', change(1, next))).toBe(2);
      const { revision: _, ...entries } = await store.entries('acl');
      expect(sorted(entries)).toEqual(
        sorted({
          roles: [...first.roles.filter((role) => role[3] !== ''), ['g', 'user:ben', 'editor']],
          entities: [first.entities[0]!, user('ben', { level: 1 })],
        }),
      );
    });

    it('changes nothing for a writer that checked its change on older data', async () => {
      const open = started();
      const [one, other] = [await open(), await open()];
      await one.write('acl', change(0, { added: first }));
      const late = change(0, { added: { roles: [['g', 'user:eve', 'editor']], entities: [] } });
      expect(await other.write('acl', late)).toBeUndefined();
      expect(await other.changesAfter('acl', 0, 10)).toHaveLength(1);
      expect((await other.entries('acl')).roles).toHaveLength(4);
    });

    it('is changed one after another by writers at the same time: of those who checked on the same data one succeeds', async () => {
      const open = started();
      const stores = [await open(), await open(), await open(), await open()];
      for (let turn = 0; turn < 5; turn++) {
        const results = await Promise.all(
          stores.map((store, index) =>
            store.write('acl', change(turn, { added: { roles: [['g', `n${turn}-${index}`, 'x']], entities: [] } })),
          ),
        );
        expect(results.filter((revision) => revision !== undefined)).toEqual([turn + 1]);
      }
      expect((await stores[0]!.entries('acl')).roles).toHaveLength(5);
    });

    it('does all of a change or nothing', async () => {
      const store = await started()();
      await store.write('acl', change(0, { added: first }));
      const twice = { roles: [['g', 'new', 'x'], first.roles[0]!], entities: [] };
      await expect(store.write('acl', change(1, { added: twice }))).rejects.toThrow();
      const { revision, ...entries } = await store.entries('acl');
      expect(revision).toBe(1);
      expect(sorted(entries)).toEqual(sorted(first));
      expect(await store.write('acl', change(1, { added: { roles: [['g', 'new', 'x']], entities: [] } }))).toBe(2);
    });

    it('keeps every change with who made it and when, from which earlier data follow', async () => {
      const store = await started()();
      const states: StoredEntries[] = [none];
      const many = Array.from({ length: 200 }, (_, index): RoleTuple => ['g', `user:${index}`, 'editor']);
      const changes: Partial<EntriesChange>[] = [
        { added: first },
        { removed: { roles: [first.roles[0]!], entities: [first.entities[0]!] } },
        { added: { roles: [first.roles[0]!], entities: [user('ana', { level: 4 })] } },
        { added: { roles: many, entities: [] } },
        { removed: { roles: many.slice(50), entities: [user('ben')] } },
      ];
      for (const [after, each] of changes.entries()) {
        await store.write('acl', change(after, each, { by: `writer ${after}` }));
        const { revision: _, ...entries } = await store.entries('acl');
        states.push(entries);
      }
      const made = await store.changesAfter('acl', 0, 100);
      expect(made.map(({ revision, by, at: time }) => [revision, by, time - at])).toEqual(
        changes.map((_, after) => [after + 1, `writer ${after}`, after]),
      );
      const now = states.at(-1)!;
      for (const [revision, state] of states.entries()) {
        expect(sorted(entriesBefore(now, made.slice(revision))), `revision ${revision}`).toEqual(sorted(state));
      }
      expect((await store.changesAfter('acl', 2, 2)).map(({ revision }) => revision)).toEqual([3, 4]);
      expect(await store.changesAfter('acl', 5, 10)).toEqual([]);
    });

    it('remembers the answer to a key for a day', async () => {
      const store = await started()();
      const key = { key: 'k-1', digest: 'd' };
      await store.write('acl', change(0, { added: first }, { key }));
      expect(await store.answer('acl', 'k-1', at + 1)).toEqual({ digest: 'd', revision: 1, version: 'sha256:0' });
      expect(await store.answer('acl', 'k-1', at + keyLifetimeMs - 1)).toBeDefined();
      expect(await store.answer('acl', 'k-1', at + keyLifetimeMs)).toBeUndefined();
      expect(await store.answer('other', 'k-1', at + 1)).toBeUndefined();
      expect(await store.answer('acl', 'k-2', at + 1)).toBeUndefined();
      // The next change after that day takes it away, so that the key can be used again.
      const again = change(1, { added: { roles: [['g', 'a', 'b']], entities: [] } }, { key, at: at + keyLifetimeMs });
      expect(await store.write('acl', again)).toBe(2);
    });

    it('lists role links in order, page by page, with who added each', async () => {
      const store = await started()();
      const names = ['b', 'a', 'B', 'ä', '\u{1F600}', '\uFF5E'];
      const roles = names.flatMap((name) => ['d1', ''].map((domain): RoleTuple => ['g2', name, 'x', domain]));
      await store.write('acl', change(0, { added: { roles: [...roles, ['g', 'a', 'x']], entities: [] } }));
      await store.write('acl', change(1, { added: { roles: [['g', 'b', 'x']], entities: [] } }, { by: 'ben' }));
      await store.write('other', change(0, { added: { roles: [['g', 'a', 'x']], entities: [] } }));
      const listed: RoleTuple[] = [];
      for (let after: RoleTuple | undefined; ; ) {
        const page = await store.roles('acl', {}, 4, after);
        listed.push(...page.map(({ role }) => role));
        after = page.at(-1)?.role;
        if (page.length < 4) break;
      }
      const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
      const ordered = names.toSorted(byBytes);
      expect(listed).toEqual([
        ['g', 'a', 'x'],
        ['g', 'b', 'x'],
        ...['', 'd1'].flatMap((domain) => ordered.map((name) => ['g2', name, 'x', domain])),
      ]);
      expect(await store.roles('acl', { definition: 'g', name: 'b' }, 10)).toEqual([
        { role: ['g', 'b', 'x'], by: 'ben', at: at + 1, revision: 2 },
      ]);
      const inDomain = await store.roles('acl', { domain: 'd1', role: 'x' }, 2, ['g2', 'a', 'x', 'd1']);
      expect(inDomain.map(({ role }) => role[1])).toEqual(['b', 'ä']);
      expect(await store.roles('acl', { role: 'y' }, 10)).toEqual([]);
    });

    it('lists entities in order, page by page', async () => {
      const store = await started()();
      const entities = ['b', 'a', 'c'].flatMap((id) => ['user', 'group'].map((type) => ({ type, id, attributes: {} })));
      await store.write('acl', change(0, { added: { roles: [], entities } }));
      const page = await store.entities('acl', {}, 4);
      const rest = await store.entities('acl', {}, 4, page.at(-1)!.entity);
      expect([...page, ...rest].map(({ entity: { type, id } }) => `${type} ${id}`)).toEqual(
        ['group', 'user'].flatMap((type) => ['a', 'b', 'c'].map((id) => `${type} ${id}`)),
      );
      expect((await store.entities('acl', { type: 'user', id: 'b' }, 10)).map(({ by }) => by)).toEqual(['ada']);
    });
  });
}
