/** All live data of a set, page by page. */
import type { ListedEntity, ListedRole, LiveDataStore } from './live-data-store.js';

const rolesAtOnce = 1_000;
/** They can be large. */
const entitiesAtOnce = 32;

export async function* allRoles(data: Pick<LiveDataStore, 'roles'>, set: string): AsyncGenerator<ListedRole> {
  for (let after: ListedRole | undefined; ; ) {
    const found: readonly ListedRole[] = await data.roles(set, {}, rolesAtOnce, after?.role);
    yield* found;
    if (found.length < rolesAtOnce) return;
    after = found.at(-1);
  }
}

export async function* allEntities(data: Pick<LiveDataStore, 'entities'>, set: string): AsyncGenerator<ListedEntity> {
  for (let after: ListedEntity | undefined; ; ) {
    const found: readonly ListedEntity[] = await data.entities(set, {}, entitiesAtOnce, after?.entity);
    yield* found;
    if (found.length < entitiesAtOnce) return;
    after = found.at(-1);
  }
}
