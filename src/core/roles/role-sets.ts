/** Sets of roles that are kept between questions, within a bound for all of a role definition. */
import { BoundedCache } from '../bounded-cache.js';

/** Roles that a name has; one object for all who have the same. */
export class RoleSet {
  private index: object | undefined;
  private keys: Int32Array | undefined;
  private others: Map<object, Int32Array> | undefined;

  constructor(
    readonly names: ReadonlySet<string>,
    /** What finding them takes, counted by each evaluation that uses them. */
    readonly steps: number,
  ) {}

  /** The symbols of these roles among the keys of an index, as they were kept. */
  keysIn(index: object): Int32Array | undefined {
    return this.index === index ? this.keys : this.others?.get(index);
  }

  /** Nearly every set has one index that asks; that one is found without another look-up. */
  keepKeys(index: object, keys: Int32Array): void {
    if (this.index === undefined) {
      this.index = index;
      this.keys = keys;
    } else {
      this.others ??= new Map();
      this.others.set(index, keys);
    }
  }
}

/** What a set hangs on while it is remembered. */
export interface Remembering {
  above: RoleSet | undefined;
}

/** Names whose set is at hand. */
const mostNames = 20_000;
/** Roles in all sets together, some tens of megabytes; a set of its own takes the room of some roles. */
const mostRoles = 500_000;
const rolesPerSet = 25;

export class RoleSets {
  /** By the parents that those have in common who share a set. */
  private readonly sets = new BoundedCache<RoleSet>(mostRoles);
  /** Whose `above` is set, and how many roles are in them. */
  private remembering: Remembering[] = [];
  private roles = 0;

  remember(name: Remembering, key: string, make: () => RoleSet): RoleSet {
    let set = this.sets.get(key);
    if (set === undefined) {
      set = make();
      this.sets.set(key, set, set.names.size + rolesPerSet);
    }
    if (this.remembering.length >= mostNames || this.roles >= mostRoles) {
      for (const forgotten of this.remembering) forgotten.above = undefined;
      this.remembering = [];
      this.roles = 0;
    }
    name.above = set;
    this.remembering.push(name);
    this.roles += set.names.size;
    return set;
  }
}
