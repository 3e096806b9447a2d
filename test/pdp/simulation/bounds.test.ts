/** What a simulation keeps of a log of any length. */
import { expect, it, onTestFinished, vi } from 'vitest';
import { ArchivedContents } from '../../../src/pdp/simulation/archived-contents.js';
import type { SetContent } from '../../../src/pdp/simulation/messages.js';
import { keptContents, RecentContents } from '../../../src/pdp/simulation/recent-contents.js';
import {
  longestRemembered,
  RememberedOutcomes,
  rememberedLength,
} from '../../../src/pdp/simulation/remembered-outcomes.js';
import { entitiesAtOnce, piecesOf, rolesAtOnce } from '../../../src/pdp/simulation/simulation-run.js';
import { SqlitePolicyArchive } from '../../../src/policy-store/archive/sqlite/sqlite-policy-archive.js';
import { SqliteLiveDataStore } from '../../../src/policy-store/database/sqlite/sqlite-live-data-store.js';
import { temporaryDirectory } from '../../decision-log/temporary-log.js';

it('remembers questions by their length, however many or long they are', () => {
  const remembered = new RememberedOutcomes<string>();
  const textOf = (n: number) => `${n} `.padEnd(longestRemembered, 'x');
  const count = (4 * rememberedLength) / longestRemembered;
  for (let n = 0; n < count; n++) remembered.note(textOf(n), `answer ${n}`);
  let length = 0;
  for (let n = 0; n < count; n++) {
    const outcome = remembered.get(textOf(n));
    if (outcome === undefined) continue;
    expect(outcome).toBe(`answer ${n}`);
    length += longestRemembered;
  }
  expect(length).toBeGreaterThan(rememberedLength / 2);
  expect(length).toBeLessThanOrEqual(2 * (rememberedLength + longestRemembered));
});

it('answers a question that is longer than a bound each time', () => {
  const remembered = new RememberedOutcomes<string>();
  for (const [length, outcome] of [
    [longestRemembered, 'same'],
    [longestRemembered + 1, undefined],
  ] as const) {
    const text = 'x'.repeat(length);
    remembered.note(text, 'same');
    expect(remembered.get(text), String(length)).toBe(outcome);
  }
});

it('keeps the versions that were read last, and none that could not be read', async () => {
  const read: string[] = [];
  const contents = new RecentContents(async (version): Promise<SetContent> => {
    read.push(version);
    if (version === 'broken') throw new Error('the database is away');
    return { files: [] };
  });
  const versions = Array.from({ length: keptContents }, (_, n) => `v${n}`);
  for (const version of [...versions, ...versions]) await contents.get(version);
  expect(read).toEqual(versions);
  // One more: the one that was used longest ago goes.
  await contents.get('new');
  await contents.get('v1');
  await contents.get('v0');
  expect(read).toEqual([...versions, 'new', 'v0']);
  for (let n = 0; n < 2; n++) await expect(contents.get('broken')).rejects.toThrow('away');
  expect(read.filter((version) => version === 'broken')).toHaveLength(2);
});

it('sends the live data of a version in pieces, between which decisions have their turns', () => {
  const roles = Array.from({ length: 2 * rolesAtOnce + 1 }, (_, n) => ['g', `user${n}`, 'reader'] as const);
  const entities = Array.from({ length: entitiesAtOnce }, (_, n) => ({ type: 'user', id: `${n}`, attributes: {} }));
  const pieces = [...piecesOf({ roles, entities })];
  expect(pieces.map((piece) => [piece.roles.length, piece.entities.length])).toEqual([
    [rolesAtOnce, 0],
    [rolesAtOnce, 0],
    [1, 0],
    [0, entitiesAtOnce],
  ]);
  expect(pieces.flatMap((piece) => piece.roles)).toEqual(roles);
  expect(pieces.flatMap((piece) => piece.entities)).toEqual(entities);
  expect([...piecesOf({ roles: [], entities: [] })]).toEqual([]);
});

it('reads all live data of a set once, and for the versions before the changes between', async () => {
  const path = `${temporaryDirectory()}/verdict.sqlite`;
  const archive = await SqlitePolicyArchive.open(path);
  const data = await SqliteLiveDataStore.open(path);
  onTestFinished(async () => {
    await data.close();
    await archive.close();
  });
  await archive.keep({ name: 'docs', files: [{ path: 'model.conf', bytes: Buffer.from('') }] }, 1);
  const [files] = (await archive.versions('docs', 1)).items;
  const versions: string[] = [];
  for (let n = 1; n <= 8; n++) {
    const revision = await data.write('docs', {
      added: { roles: [['g', `user${n}`, 'reader']], entities: [] },
      removed: { roles: [], entities: [] },
      after: await data.revisions('docs'),
      ...{ by: 'carol', at: n, version: '' },
    });
    const version = `sha256:${`${n}`.repeat(64)}`;
    await archive.keepData({ name: 'docs', version, filesVersion: files!.version, dataRevision: revision! }, n);
    versions.push(version);
  }
  const entries = vi.spyOn(data, 'entries');
  const contents = new ArchivedContents('docs', archive, data);
  for (const [n, version] of [...versions.entries()].reverse()) {
    const content = await contents.get(version);
    expect(content).toMatchObject({ data: { entities: [] } });
    expect((content as SetContent).data!.roles.map(([, name]) => name).sort()).toEqual(
      Array.from({ length: n + 1 }, (_, user) => `user${user + 1}`),
    );
  }
  expect(entries).toHaveBeenCalledTimes(1);
});
