/** What a search asks: a question with one part left open. */
import type { Action, DecisionRequest, Entity, JsonObject } from '../request.js';
import type { SearchKind } from './names.js';

export interface SearchQuery {
  readonly kind: SearchKind;
  /** Type of the subjects or resources that are searched for. */
  readonly type?: string;
  /** What is not searched for. */
  readonly subject?: Entity;
  readonly action?: Action;
  readonly resource?: Entity;
  readonly attributes?: JsonObject;
}

/** Who may do this? */
export interface WhoQuery {
  /** Type of the subjects. */
  readonly type?: string;
  readonly action: Action;
  readonly resource: Entity;
  readonly attributes?: JsonObject;
}

/** With what may the subject do this, or what may it do with that? */
export type WhatQuery =
  | {
      readonly subject: Entity;
      readonly action: Action;
      /** Type of the resources. */
      readonly type?: string;
      readonly attributes?: JsonObject;
    }
  | { readonly subject: Entity; readonly resource: Entity; readonly attributes?: JsonObject };

/** The question that decides one candidate. */
export function questionAbout(query: SearchQuery, id: string): DecisionRequest {
  const type = query.type === undefined ? {} : { type: query.type };
  const nobody = { id: '' };
  return {
    subject: query.kind === 'subject' ? { ...type, id } : (query.subject ?? nobody),
    action: query.kind === 'action' ? { name: id } : (query.action ?? { name: '' }),
    resource: query.kind === 'resource' ? { ...type, id } : (query.resource ?? nobody),
    ...(query.attributes !== undefined && { attributes: query.attributes }),
  };
}
