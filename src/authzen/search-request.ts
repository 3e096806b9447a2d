/**
 * Requests of searches (section 8). The entity that is searched for has only a type; other members of it are ignored.
 */
import 'reflect-metadata';
import { IsInt, IsString, Min, ValidateNested } from 'class-validator';
import { JSONSchema } from 'class-validator-jsonschema';
import type { JsonObject } from '../core/request.js';
import type { SearchQuery } from '../core/search/search-query.js';
import { IsAttributes, IsId, Optional } from '../http/request-rules.js';
import { AuthzenAction, AuthzenEntity, actionOf, entityOf } from './authzen-request.js';

@JSONSchema({ description: 'What is searched for. An id, and properties, are ignored.' })
export class SearchedEntity {
  @IsId()
  readonly type!: string;
}

export class PageRequest {
  @Optional()
  @IsString()
  @JSONSchema({ description: '`next_token` of the page before; everything else must be as it was then.' })
  readonly token?: string;

  @Optional()
  @IsInt()
  @Min(0)
  @JSONSchema({ description: 'The most results to return. Left out with a token: as it was for the first page.' })
  readonly limit?: number;
}

/** What the three searches have in common. */
class SearchRequest {
  @Optional()
  @IsAttributes()
  readonly context?: JsonObject;

  @Optional()
  @ValidateNested()
  readonly page?: PageRequest;
}

@JSONSchema({ description: 'Who may do this action on this resource?' })
export class SubjectSearchRequest extends SearchRequest {
  @ValidateNested()
  readonly subject!: SearchedEntity;

  @ValidateNested()
  readonly action!: AuthzenAction;

  @ValidateNested()
  readonly resource!: AuthzenEntity;
}

@JSONSchema({ description: 'On what may this subject do this action?' })
export class ResourceSearchRequest extends SearchRequest {
  @ValidateNested()
  readonly subject!: AuthzenEntity;

  @ValidateNested()
  readonly action!: AuthzenAction;

  @ValidateNested()
  readonly resource!: SearchedEntity;
}

@JSONSchema({ description: 'What may this subject do on this resource?' })
export class ActionSearchRequest extends SearchRequest {
  @ValidateNested()
  readonly subject!: AuthzenEntity;

  @ValidateNested()
  readonly resource!: AuthzenEntity;
}

export const searchShapes = [
  AuthzenEntity,
  AuthzenAction,
  SearchedEntity,
  PageRequest,
  SubjectSearchRequest,
  ResourceSearchRequest,
  ActionSearchRequest,
] as const;

export function subjectQuery({ subject, action, resource, context }: SubjectSearchRequest): SearchQuery {
  const query = {
    kind: 'subject',
    type: subject.type,
    action: actionOf(action),
    resource: entityOf(resource),
  } as const;
  return context === undefined ? query : { ...query, attributes: context };
}

export function resourceQuery({ subject, action, resource, context }: ResourceSearchRequest): SearchQuery {
  const query = {
    kind: 'resource',
    type: resource.type,
    subject: entityOf(subject),
    action: actionOf(action),
  } as const;
  return context === undefined ? query : { ...query, attributes: context };
}

export function actionQuery({ subject, resource, context }: ActionSearchRequest): SearchQuery {
  const query = { kind: 'action', subject: entityOf(subject), resource: entityOf(resource) } as const;
  return context === undefined ? query : { ...query, attributes: context };
}
