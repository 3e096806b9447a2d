/** The role links up from one name, in one domain. */
import type { Remembering, RoleSet } from './role-sets.js';

/** True if a link counts at `now`, as the first of a path or behind `hop` others. */
export type LinkTest = (now: number, hop: number) => boolean;

export interface Parent {
  readonly parent: string;
  readonly holds?: LinkTest;
}

/** Links are added while a set loads, and stay as they are from then on. */
export class Links implements Remembering {
  above: RoleSet | undefined;

  constructor(readonly parents: readonly Parent[] = []) {}

  add(parent: Parent): void {
    (this.parents as Parent[]).push(parent);
  }
}
