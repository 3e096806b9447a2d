import { Controller, Get, Param, Query } from '@nestjs/common';
import { Integer, OpenObject, Parts, Text, Texts, Time } from '../answers/members.js';
import type { JsonObject } from '../core/request.js';
import { Requires } from '../http/access.js';
import { Documented } from '../http/operation.js';
import { queryPipe } from '../http/validation-pipes.js';
import type { Attributed } from '../policy-store/data/live-data-store.js';
import { LiveDataWriting } from '../policy-store/data/live-data-writing.js';
import { EntitiesQuery, RoleLinksQuery } from './live-data.requests.js';
import { openPosition, sealPosition } from './live-data-cursors.js';
import { SealedCursors } from './sealed-cursors.js';

class LiveEntry {
  @Text({ description: 'The caller who added it.' })
  readonly addedBy!: string;

  @Time()
  readonly addedAt!: string;

  @Integer({ description: 'The revision of the policy set that it came with.' })
  readonly revision!: number;
}

class LiveRoleLink extends LiveEntry {
  @Texts({ description: 'The columns of the link, as a line of a rules file has them: `["g", "user:ana", "editor"]`.' })
  readonly role!: readonly string[];
}

class LiveEntity extends LiveEntry {
  @Text()
  readonly type!: string;

  @Text()
  readonly id!: string;

  @OpenObject()
  readonly attributes!: JsonObject;
}

class RoleLinksPage {
  @Parts(() => LiveRoleLink, { description: 'In the order of definition, domain, name and role.' })
  readonly items!: readonly LiveRoleLink[];

  @Text({ optional: true, description: 'Missing on the last page.' })
  readonly nextCursor?: string;
}

class EntitiesPage {
  @Parts(() => LiveEntity, {
    description: 'In the order of type and id. A page of large entities has fewer than `limit`.',
  })
  readonly items!: readonly LiveEntity[];

  @Text({ optional: true, description: 'Missing on the last page.' })
  readonly nextCursor?: string;
}

/** Entities that are read in one go, so that large ones are not held and parsed by the thousand. */
const entitiesAtOnce = 32;
/** A page ends when its attributes have this many characters. */
const pageLength = 1024 * 1024;

/** What the live data of policy sets is; `live-data-routes.ts` changes it. */
@Controller('v1/policy-sets')
export class LiveDataController {
  constructor(
    private readonly data: LiveDataWriting,
    private readonly cursors: SealedCursors,
  ) {}

  @Get(':set/roles')
  @Requires('data:read', { limit: 'search' })
  @Documented({
    id: 'listRoleLinks',
    tag: 'live data',
    summary: 'The role links of live data; pass nextCursor as cursor for the page after',
    query: RoleLinksQuery,
    answers: { 200: { description: 'A page of role links.', json: RoleLinksPage } },
    refusals: ['invalid_request', 'policy_set_not_found'],
  })
  async roles(
    @Param('set') set: string,
    @Query(queryPipe) { cursor, limit, ...filter }: RoleLinksQuery,
  ): Promise<RoleLinksPage> {
    const list = { kind: 'roles', set, filter } as const;
    const after = cursor === undefined ? undefined : openPosition(this.cursors, list, cursor);
    const found = await this.data.roles(set, filter, limit + 1, after);
    const items = found.slice(0, limit).map(({ role, ...entry }) => ({ role, ...attributionOf(entry) }));
    return { items, ...(found.length > limit && { nextCursor: sealPosition(this.cursors, list, items.at(-1)!.role) }) };
  }

  @Get(':set/entities')
  @Requires('data:read', { limit: 'search' })
  @Documented({
    id: 'listEntities',
    tag: 'live data',
    summary: 'The entities of live data; pass nextCursor as cursor for the page after',
    query: EntitiesQuery,
    answers: { 200: { description: 'A page of entities.', json: EntitiesPage } },
    refusals: ['invalid_request', 'policy_set_not_found'],
  })
  async entities(
    @Param('set') set: string,
    @Query(queryPipe) { cursor, limit, ...filter }: EntitiesQuery,
  ): Promise<EntitiesPage> {
    const list = { kind: 'entities', set, filter } as const;
    const [type, id] = cursor === undefined ? [] : openPosition(this.cursors, list, cursor);
    let after = type === undefined || id === undefined ? undefined : { type, id };
    const items: LiveEntity[] = [];
    let [length, isMore] = [0, true];
    while (isMore && items.length < limit && length < pageLength) {
      const most = Math.min(entitiesAtOnce, limit - items.length);
      const found = await this.data.entities(set, filter, most + 1, after);
      isMore = found.length > most;
      for (const { entity, ...entry } of found.slice(0, most)) {
        items.push({ ...entity, ...attributionOf(entry) });
        length += JSON.stringify(entity.attributes).length;
      }
      after = items.at(-1);
    }
    if (!isMore || after === undefined) return { items };
    return { items, nextCursor: sealPosition(this.cursors, list, [after.type, after.id]) };
  }
}

function attributionOf({ by, at, revision }: Attributed): LiveEntry {
  return { addedBy: by, addedAt: new Date(at).toISOString(), revision };
}
