/** A subject, resource or action of a decision request, as `r.sub.x` sees it. */
import type { Json, JsonObject } from '../request.js';
import { ownMember } from './values.js';

export interface EntityAttributesOptions {
  /** Members that no attribute can overwrite: `{ type, id }` of an entity, `{ name }` of an action. */
  readonly own: Readonly<Record<string, string | undefined>>;
  readonly requested: JsonObject | undefined;
  /** Attributes from `entities.yaml`. */
  readonly stored: JsonObject | undefined;
  /** Which attribute wins if both have one. */
  readonly precedence: 'request' | 'stored';
}

/** `properties` and `attributes` name the attributes as a whole: `r.sub.properties.x` says the same as `r.sub.x`. */
export function namesAllAttributes(name: string | undefined): boolean {
  return name === 'properties' || name === 'attributes';
}

const noAttributes: JsonObject = Object.freeze({});

export class EntityAttributes {
  private whole: JsonObject | undefined;

  constructor(private readonly options: EntityAttributesOptions) {}

  /** The attribute `name`, or undefined when neither the request nor the stored entity has it. */
  get(name: string): Json | undefined {
    if (Object.hasOwn(this.options.own, name)) return this.options.own[name];
    const { requested, stored, precedence } = this.options;
    const [first, second] = precedence === 'request' ? [requested, stored] : [stored, requested];
    const value = first === undefined ? undefined : ownMember(first, name);
    if (value !== undefined || second === undefined) return value;
    return ownMember(second, name);
  }

  get type(): string | undefined {
    return this.options.own.type;
  }

  /** Whether `entities.yaml` has the entity. */
  get isStored(): boolean {
    return this.options.stored !== undefined;
  }

  /** True if the request has attributes of it. */
  get isDescribed(): boolean {
    return this.options.requested !== undefined;
  }

  /** The attributes of the request and the stored ones, merged. If only one side has some, that object itself. */
  get merged(): JsonObject {
    const { requested, stored } = this.options;
    if (requested === undefined) return stored ?? noAttributes;
    return stored === undefined ? requested : this.all();
  }

  /** All attributes in one object, for an expression that reads them as a whole; made once. */
  all(): JsonObject {
    this.whole ??= this.merge();
    return this.whole;
  }

  private merge(): JsonObject {
    const { requested, stored, precedence } = this.options;
    const layers = precedence === 'request' ? [stored, requested] : [requested, stored];
    const merged: JsonObject = Object.create(null);
    for (const layer of layers) Object.assign(merged, layer);
    return merged;
  }
}
