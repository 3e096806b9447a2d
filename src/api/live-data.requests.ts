import { IsArray, IsObject } from 'class-validator';
import { JSONSchema } from 'class-validator-jsonschema';
import { Part, Parts } from '../answers/members.js';
import { plainTextPattern } from '../core/names.js';
import type { JsonObject } from '../core/request.js';
import { IsId, Optional } from '../http/request-rules.js';
import { maxChangedEntries } from '../policy-store/data/live-data-writing.js';
import { OptionalCount } from '../query/query-number.js';
import { OptionalName, OptionalText } from '../query/query-text.js';

/** Most bytes of the columns of a role link, and of the type and id of an entity, in UTF-8: a cursor holds them. */
export const nameBytes = 4_096;

/** Decorates a list of role links. */
function IsRoleLinks(): PropertyDecorator {
  const column = { type: 'string', pattern: plainTextPattern } as const;
  const link = { type: 'array', items: column, minItems: 3, maxItems: 4 } as const;
  const about = JSONSchema({
    items: link,
    maxItems: maxChangedEntries,
    description: 'Links of role definitions, each as a line of a rules file: `["g", "user:ana", "editor"]`.',
  });
  return (target, name) => {
    for (const decorate of [Optional(), IsArray()]) decorate(target, name);
    about(target, name as string);
  };
}

class EntityNameBody {
  @IsId()
  readonly type!: string;

  @IsId()
  readonly id!: string;
}

class EntityBodyToAdd extends EntityNameBody {
  @Optional()
  @IsObject()
  @JSONSchema({ additionalProperties: true, description: 'What `r.sub.x` reads of a subject that is this entity.' })
  readonly attributes?: JsonObject;
}

class DataToAdd {
  @IsRoleLinks()
  readonly roles?: readonly (readonly string[])[];

  @Parts(() => EntityBodyToAdd, { optional: true })
  readonly entities?: readonly EntityBodyToAdd[];
}

class DataToRemove {
  @IsRoleLinks()
  readonly roles?: readonly (readonly string[])[];

  @Parts(() => EntityNameBody, { optional: true })
  readonly entities?: readonly EntityNameBody[];
}

/**
 * The body of `POST /v1/policy-sets/{set}/changes`, for the OpenAPI document alone. Its lists may be
 * long: `core/policy/data-change.ts` reads them in steps, and checks what is said here.
 */
export class DataChangeRequest {
  @Part(() => DataToAdd, { optional: true })
  readonly add?: DataToAdd;

  @Part(() => DataToRemove, { optional: true, description: 'It is removed before anything is added.' })
  readonly remove?: DataToRemove;
}

class ListQuery {
  /** `nextCursor` of the page before. */
  @OptionalText(8_192)
  readonly cursor?: string;

  /** Most entries on a page. */
  @OptionalCount(1_000)
  readonly limit: number = 100;
}

/** The query string of `GET /v1/policy-sets/{set}/roles`. */
export class RoleLinksQuery extends ListQuery {
  @OptionalName(nameBytes)
  readonly definition?: string;

  @OptionalName(nameBytes)
  readonly name?: string;

  @OptionalName(nameBytes)
  readonly role?: string;

  @OptionalName(nameBytes)
  readonly domain?: string;
}

/** The query string of `GET /v1/policy-sets/{set}/entities`. */
export class EntitiesQuery extends ListQuery {
  @OptionalName(nameBytes)
  readonly type?: string;

  @OptionalName(nameBytes)
  readonly id?: string;
}
