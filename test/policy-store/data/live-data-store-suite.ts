import { afterEach, describe, expect, it } from 'vitest';
import type { RoleTuple } from '../../../src/core/data/live-data.js';
import { finish } from '../../../src/core/steps.js';
import { type EntriesChange, entriesBefore, type StoredEntries } from '../../../src/policy-store/data/entries.js';
import {
  type EntityFilter,
  keyLifetimeMs,
  type LiveDataStore,
  type NewChange,
  type RoleFilter,
} from '../../../src/policy-store/data/live-data-store.js';
import {
  DataChanged,
  type PolicyRepository,
  type WriteNote,
} from '../../../src/policy-store/database/policy-repository.js';

const at = 1_764_400_000_000;
/** A set that is stored and never compiled here. */
const setOf = (name: string, rules: string) => ({
  name,
  files: [{ path: 'rules.csv', bytes: Buffer.from(rules) }],
});
const none: StoredEntries = { roles: [], entities: [] };
const user = (id: string, attributes = {}) => ({ type: 'user', id, attributes });

/** A change of data that is at this revision; the files of the set are not in the database. */
function change(after: number, parts: Partial<EntriesChange>, more: Partial<NewChange> = {}): NewChange {
  return {
    added: none,
    removed: none,
    after: { files: 0, data: after },
    by: 'ada',
    at: at + after,
    version: `sha256:${after}`,
    ...parts,
    ...more,
  };
}

/** As many characters as an id may have, of four bytes each, in which nothing comes again that could be compressed. */
function longName(seed: number, length = 1_024): string {
  let state = seed;
  const points = Array.from({ length }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return 0x20_000 + ((state >>> 8) % 0xa000);
  });
  return String.fromCodePoint(...points);
}

const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

const sorted = ({ roles, entities }: StoredEntries) => ({
  roles: roles.map((role) => role.join()).sort(),
  entities: entities.map((entity) => JSON.stringify(entity)).sort(),
});

interface Database {
  open(): Promise<LiveDataStore>;
  openPolicies(): Promise<PolicyRepository>;
}

/** What a store of live data must do, whichever database it is in. `open` gives another one of the same database each time. */
export function describeLiveDataStore(database: string, make: () => Database): void {
  describe(`live data in ${database}`, () => {
    const opened: { close(): Promise<void> }[] = [];
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
      expect(await store.entries('acl')).toEqual({ ...none, revisions: { files: 0, data: 0 } });
      expect(await store.write('acl', change(0, { added: first }))).toBe(1);
      for (const each of [store, await open()]) {
        const { revisions, ...entries } = await each.entries('acl');
        expect(revisions).toEqual({ files: 0, data: 1 });
        expect(await each.revisions('acl')).toEqual(revisions);
        expect(sorted(entries)).toEqual(sorted(first));
        expect(await each.heads()).toEqual([{ name: 'acl', files: 0, data: 1 }]);
        expect(await each.entries('other')).toEqual({ ...none, revisions: { files: 0, data: 0 } });
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
      const { revisions: _, ...entries } = await store.entries('acl');
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
      const { revisions, ...entries } = await store.entries('acl');
      expect(revisions.data).toBe(1);
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
        const { revisions: _, ...entries } = await store.entries('acl');
        states.push(entries);
      }
      const made = await store.changesAfter('acl', 0, 100);
      expect(made.map(({ revision, by, at: time }) => [revision, by, time - at])).toEqual(
        changes.map((_, after) => [after + 1, `writer ${after}`, after]),
      );
      const now = states.at(-1)!;
      for (const [revision, state] of states.entries()) {
        expect(sorted(finish(entriesBefore(now, made.slice(revision)))), `revision ${revision}`).toEqual(sorted(state));
        expect(sorted((await store.entriesAt('acl', revision))!), `revision ${revision}`).toEqual(sorted(state));
        // The same from any other one that is known: a later one spares reading all.
        for (const [other, entries] of states.entries()) {
          const again = await store.entriesAt('acl', revision, { revision: other, entries });
          expect(sorted(again!), `revision ${revision} from ${other}`).toEqual(sorted(state));
        }
      }
      expect((await store.changesAfter('acl', 2, 2)).map(({ revision }) => revision)).toEqual([3, 4]);
      expect(await store.changesAfter('acl', 5, 10)).toEqual([]);
    });

    it('takes its numbers from where the files of the set take theirs, so that they say what came after what', async () => {
      const { open, openPolicies } = make();
      const [store, policies] = [await open(), await openPolicies()];
      opened.push(store, policies);
      const write = (text: string, more: Partial<WriteNote>) =>
        policies.write(setOf('acl', text), { expected: 'any', by: 'ada', at, ...more });
      const link = (name: string) => ({ added: { roles: [['g', name, 'x']], entities: [] } });

      expect(await write('p, a, b, c', { expected: 'new' })).toBe(1);
      expect(await store.write('acl', change(0, link('a'), { after: { files: 0, data: 0 } }))).toBeUndefined();
      expect(await store.write('acl', change(0, link('a'), { after: { files: 1, data: 0 } }))).toBe(2);
      expect(await store.write('acl', change(0, link('b'), { after: { files: 1, data: 2 } }))).toBe(3);
      // Nobody has changed the files since 2, nor since 1.
      expect(await write('p, a, b, d', { expected: 2 })).toBe(4);
      await expect(write('p, a, b, e', { expected: 3 })).rejects.toMatchObject({ code: 'precondition_failed' });
      await expect(write('p, a, b, e', { checkedData: 2 })).rejects.toThrow(DataChanged);
      expect(await write('p, a, b, e', { checkedData: 3 })).toBe(5);
      expect(await policies.pin('acl', 'sha256:earlier', { by: 'ada', at })).toBe(6);
      expect(await policies.revisions('acl')).toEqual({ files: 6, data: 3 });
      expect(await store.write('acl', change(0, link('c'), { after: { files: 6, data: 3 } }))).toBe(7);
      expect(await policies.lastRevision('acl')).toBe(7);
      await policies.remove('acl', { expected: 7, by: 'ada', at });
      expect(await policies.revisions('acl')).toBeUndefined();
      expect(await store.heads()).toEqual([{ name: 'acl', files: 8, data: 7 }]);
    });

    it('gives files with numbers of their own one that data take too, the first replica for all', async () => {
      const open = started();
      const [store, other] = [await open(), await open()];
      expect(await store.numberFiles('acl', 7)).toBe(7);
      expect(await other.numberFiles('acl', 7)).toBe(7);
      const link = { added: { roles: [['g', 'a', 'x']], entities: [] } };
      expect(await store.write('acl', change(0, link, { after: { files: 7, data: 0 } }))).toBe(8);
      expect(await other.numberFiles('acl', 7)).toBe(7);
      expect(await other.numberFiles('acl', 8)).toBe(9);
      // A replica that is behind learns that it is.
      expect(await store.numberFiles('acl', 7)).toBeUndefined();
      expect(await store.revisions('acl')).toEqual({ files: 9, data: 8 });
      expect(await store.numberFiles('acl', 20)).toBe(20);
    });

    it('gives earlier data as long as the changes since are kept', async () => {
      const store = await started()();
      for (const [after, name] of ['a', 'b', 'c', 'd'].entries()) {
        await store.write('acl', change(after, { added: { roles: [['g', name, 'x']], entities: [] } }));
      }
      expect(await store.keptSince('acl')).toBe(0);
      expect(await store.forgetBefore('acl', 2)).toBe(2);
      expect(await store.forgetBefore('acl', 1)).toBe(0);
      expect(await store.keptSince('acl')).toBe(2);
      expect(await store.entriesAt('acl', 1)).toBeUndefined();
      const names = async (revision: number) => (await store.entriesAt('acl', revision))?.roles.map(([, name]) => name);
      expect((await names(2))?.sort()).toEqual(['a', 'b']);
      expect((await names(4))?.sort()).toEqual(['a', 'b', 'c', 'd']);
      expect((await store.changesAfter('acl', 0, 10)).map(({ revision }) => revision)).toEqual([3, 4]);
    });

    it('tells who watches, soon and after a change by another', async () => {
      const open = started();
      const [watching, writing] = [await open(), await open()];
      let looks = 0;
      const watch = watching.watch(async () => void looks++);
      try {
        await expect.poll(() => watch.ageMs, { timeout: 5_000 }).toBeLessThan(2_000);
        const before = looks;
        await writing.write('acl', change(0, { added: first }));
        await expect.poll(() => looks, { timeout: 5_000 }).toBeGreaterThan(before);
      } finally {
        watch.end();
      }
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

    it('takes names as long as they may be, in every column, and knows them again', async () => {
      const store = await started()();
      const [a, b, c, d] = [longName(1), longName(2), longName(3), longName(4)];
      // Two names that differ in their last character.
      const twin = `${[...a].slice(0, -1).join('')}x`;
      const roles: RoleTuple[] = [
        ['g', a, b],
        ['g', twin, b],
        ['g', a, c],
        ['g2', a, b, c],
        ['g2', a, b, d],
      ];
      const entities = [a, twin].flatMap((id) => [user(id), { type: c, id, attributes: { name: b } }]);
      const key = { key: longName(5, 4_000), digest: 'd' };
      expect(await store.write('acl', change(0, { added: { roles, entities } }, { key }))).toBe(1);
      const { revisions: _, ...written } = await store.entries('acl');
      expect(sorted(written)).toEqual(sorted({ roles, entities }));
      expect(await store.answer('acl', key.key, at + 1)).toEqual({ digest: 'd', revision: 1, version: 'sha256:0' });
      expect(await store.answer('acl', `${key.key}.`, at + 1)).toBeUndefined();
      for (const again of [
        { roles: [roles[3]!], entities: [] },
        { roles: [], entities: [user(twin)] },
      ]) {
        await expect(store.write('acl', change(1, { added: again }))).rejects.toThrow();
      }
      const only = await store.roles('acl', { definition: 'g', name: twin }, 10);
      expect(only.map(({ role }) => role)).toEqual([['g', twin, b]]);
      expect(await store.entities('acl', { type: c, id: twin }, 10)).toHaveLength(1);
      expect(await store.entities('acl', { id: twin }, 10)).toHaveLength(2);
      const gone = { roles: [roles[1]!, roles[4]!], entities: [entities[0]!, entities[3]!] };
      expect(await store.write('acl', change(1, { removed: gone }))).toBe(2);
      const { revisions: __, ...left } = await store.entries('acl');
      expect(sorted(left)).toEqual(
        sorted({ roles: [roles[0]!, roles[2]!, roles[3]!], entities: [entities[1]!, entities[2]!] }),
      );
    });

    it('lists names that begin with the same thousand characters in order, page by page', async () => {
      const store = await started()();
      const same = longName(7, 1_000);
      // Ends before others, after others, and within them; `x` alone would come elsewhere if columns were put together.
      const names = ['b', 'a', '', 'ä', '\u{1F600}', '\uFF5E', 'ab', 'B'].flatMap((end) => [
        `${same}${end}`,
        `x${end}`,
      ]);
      const domains = ['', same, `${same}0`, 'x'];
      const roles = [
        ...names.flatMap((name) => [`r${same}`, 'r', same].map((role): RoleTuple => ['g', name, role])),
        ...names.flatMap((name) => domains.map((domain): RoleTuple => ['g2', name, name, domain])),
        ...domains.map((domain): RoleTuple => ['g2x', 'a', 'b', domain]),
      ];
      const entities = [same, `${same}!`, 'user', 'use'].flatMap((type) =>
        names.map((id) => ({ type, id, attributes: {} })),
      );
      const shuffled = <Item>(items: readonly Item[]) => items.map((_, at) => items[(at * 37) % items.length] as Item);
      await store.write('acl', change(0, { added: { roles: shuffled(roles), entities: shuffled(entities) } }));

      const inOrder = <Item>(items: readonly Item[], columns: (item: Item) => readonly string[]) =>
        items.toSorted((one, other) => {
          const [left, right] = [columns(one), columns(other)];
          const at = left.findIndex((text, column) => text !== right[column]);
          return at < 0 ? 0 : byBytes(left[at] as string, right[at] as string);
        });
      const rolesInOrder = inOrder(roles, ([definition = '', name = '', role = '', domain = '']) => [
        definition,
        domain,
        name,
        role,
      ]);
      const entitiesInOrder = inOrder(entities, ({ type, id }) => [type, id]);
      for (const limit of [1, 7, 1_000]) {
        for (const filter of [
          {},
          { definition: 'g2' },
          { definition: 'g2', domain: same },
          { definition: 'g', domain: '', name: same },
          { definition: 'g2', domain: 'x', name: `${same}a`, role: `${same}a` },
          { name: `${same}ab` },
          { domain: same },
          { definition: 'g', role: same },
        ]) {
          const listed: RoleTuple[] = [];
          for (let page = await store.roles('acl', filter, limit); page.length > 0; ) {
            listed.push(...page.map(({ role }) => role));
            page = await store.roles('acl', filter, limit, listed.at(-1));
          }
          const { definition, domain, name, role } = { ...filter } as RoleFilter;
          const wanted = rolesInOrder.filter(
            (each) =>
              each[0] === (definition ?? each[0]) &&
              each[1] === (name ?? each[1]) &&
              each[2] === (role ?? each[2]) &&
              (each[3] ?? '') === (domain ?? each[3] ?? ''),
          );
          expect(wanted.length).toBeGreaterThan(0);
          expect(listed, `${limit} a page`).toEqual(wanted);
        }
        for (const filter of [
          {},
          { type: same },
          { type: 'use' },
          { id: `${same}b` },
          { type: 'user', id: `${same}b` },
        ]) {
          const listed: { type: string; id: string }[] = [];
          for (let page = await store.entities('acl', filter, limit); page.length > 0; ) {
            listed.push(...page.map(({ entity: { type, id } }) => ({ type, id })));
            page = await store.entities('acl', filter, limit, listed.at(-1));
          }
          const { type, id } = { ...filter } as EntityFilter;
          const wanted = entitiesInOrder.filter(
            (each) => each.type === (type ?? each.type) && each.id === (id ?? each.id),
          );
          expect(wanted.length).toBeGreaterThan(0);
          expect(listed, `${limit} a page`).toEqual(wanted.map((each) => ({ type: each.type, id: each.id })));
        }
      }
    });
  });
}
