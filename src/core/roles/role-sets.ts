/** Sets of roles that are kept between questions, with one bound for each role definition. */
import { BoundedCache } from '../bounded-cache.js';

/** The roles of a name. Names with the same roles share one object. */
export class RoleSet {
  private index: object | undefined;
  private keys: Int32Array | undefined;
  private others: Map<object, Int32Array> | undefined;

  constructor(
    readonly names: ReadonlySet<string>,
    /** Steps for finding them, counted by each evaluation that uses them. */
    readonly steps: number,
    /** Stands for the links that they were found over: other links may give the same name other roles. */
    readonly links: object,
  ) {}

  /** The kept symbols of these roles in an index. */
  keysIn(index: object): Int32Array | undefined {
    return this.index === index ? this.keys : this.others?.get(index);
  }

  /** Keeps symbols for an index. Nearly every set has one index, which is found without a further look-up. */
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

/** The object that refers to a set while it is kept. */
export interface Remembering {
  above: RoleSet | undefined;
}

/** Most names whose set is kept. */
const mostNames = 20_000;
/** Most roles in all kept sets: some tens of megabytes. A set counts as some roles. */
const mostRoles = 500_000;
const rolesPerSet = 25;

export class RoleSets {
  /** Sets by the parents that their names share. */
  private readonly sets = new BoundedCache<RoleSet>(mostRoles);
  /** Objects with a kept set. */
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
