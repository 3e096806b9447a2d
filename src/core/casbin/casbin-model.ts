/** The definitions of a model, as Casbin's `model.AddDef` reads them. */

import { escapeAssertions } from '../matcher/source-text.js';
import type { Definition, ModelDocument } from './model-document.js';

export interface ColumnsDefinition {
  readonly key: string;
  /** Columns in Casbin's inner spelling, `r_sub`. */
  readonly columns: ReadonlyMap<string, number>;
  /** Tokens as the author wrote them, `sub`. */
  readonly tokens: readonly string[];
  readonly definition: Definition;
}

export interface RoleDefinition {
  readonly key: string;
  /** Number of columns of a rule: the number of `_` in the definition. */
  readonly width: number;
  /** A rule with fewer columns is refused when it is read, also if `width` is smaller. */
  readonly leastColumns: number;
  readonly hasDomain: boolean;
  /** Number of columns in parentheses, `(_, _)`: a link counts while its condition on them holds. */
  readonly conditionColumns: number;
  readonly definition: Definition;
}

export interface CasbinModel {
  readonly file: string;
  readonly requests: ReadonlyMap<string, ColumnsDefinition>;
  readonly policies: ReadonlyMap<string, ColumnsDefinition>;
  readonly roles: ReadonlyMap<string, RoleDefinition>;
  /** The text that is compared, `p_eft` for `p.eft`. */
  readonly effects: ReadonlyMap<string, string>;
  readonly effectDefinitions: ReadonlyMap<string, Definition>;
  readonly matchers: ReadonlyMap<string, Definition>;
  readonly constraints: ReadonlyMap<string, Definition>;
}

export function readCasbinModel(document: ModelDocument): CasbinModel {
  const { r, p, g, e, m, c } = document.definitions;
  return {
    file: document.file,
    requests: mapValues(r, readColumns),
    policies: mapValues(p, readColumns),
    roles: mapValues(g, readRoleDefinition),
    effects: mapValues(e, (definition) => withoutComment(escapeAssertions(definition.value))),
    effectDefinitions: e,
    matchers: m,
    constraints: c,
  };
}

function readColumns(definition: Definition): ColumnsDefinition {
  const tokens = definition.value.split(',').map((token) => token.trim());
  const columns = new Map<string, number>();
  // If two columns have the same name, the later one is found, as in the reference.
  for (const [index, token] of tokens.entries()) columns.set(`${definition.key}_${token}`, index);
  return { key: definition.key, columns, tokens, definition };
}

function readRoleDefinition(definition: Definition): RoleDefinition {
  const { key, value } = definition;
  const parenthesised = /\((.*?)\)/.exec(value)?.[1];
  const conditionColumns = parenthesised === undefined ? 0 : parenthesised.split(',').length;
  const leastColumns = value.split(',').length - conditionColumns;
  const width = value.split('_').length - 1;
  return { key, width, leastColumns, hasDomain: leastColumns > 2, conditionColumns, definition };
}

function withoutComment(text: string): string {
  const comment = text.indexOf('#');
  return comment < 0 ? text : text.slice(0, comment).trim();
}

function mapValues<From, To>(map: ReadonlyMap<string, From>, convert: (value: From) => To): ReadonlyMap<string, To> {
  return new Map([...map].map(([key, value]) => [key, convert(value)]));
}
