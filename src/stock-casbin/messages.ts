/** Messages between the service and the thread that runs stock Casbin: each is answered before the next is sent. */
import type { Json } from '../core/request.js';

/** A policy set in the form that stock Casbin reads. */
export interface StockSet {
  /** Identifies the set within a thread, such as its version. */
  readonly key: string;
  /** Text of model.conf. */
  readonly model: string;
  /** Text of all rule files, one after the other. */
  readonly rules: string;
  /** Which definitions decide: `r`, `p`, `e` and `m`, or others of the model. */
  readonly definitions: { readonly r: string; readonly p: string; readonly e: string; readonly m: string };
  readonly roleMatching: readonly RoleMatching[];
}

/** A built-in function by which role names or domains of a role definition are matched. */
export interface RoleMatching {
  readonly definition: string;
  readonly of: 'names' | 'domains';
  readonly function: string;
}

export type StockQuestion =
  | { readonly kind: 'load'; readonly set: StockSet }
  | { readonly kind: 'enforce'; readonly key: string; readonly values: readonly (Json | undefined)[] }
  | { readonly kind: 'forget'; readonly key: string };

export type Reply =
  | { readonly kind: 'done' }
  | {
      readonly kind: 'answer';
      readonly allowed: boolean;
      /** The rule that stock Casbin explains its answer with, without its type; empty when it names none. */
      readonly rule: readonly string[];
      /** What that rule's effect column says, if it has one. */
      readonly effect?: string;
    }
  | { readonly kind: 'error'; readonly message: string };
