/** Casbin's constraints on grouping rules: separation of duty, cardinality, prerequisites (`model/constraint.go`). */
import { quote, quoteList } from '../quote.js';

export type Constraint =
  | { readonly kind: 'sod'; readonly roles: readonly string[] }
  | { readonly kind: 'sodMax'; readonly roles: readonly string[]; readonly most: number }
  | { readonly kind: 'roleMax'; readonly role: string; readonly most: number }
  | { readonly kind: 'rolePre'; readonly role: string; readonly prerequisite: string };

/** Returns undefined if the text is not a constraint. */
export function parseConstraint(text: string): Constraint | undefined {
  const sod = /^sod\s*\(\s*"([^"]+)"\s*,\s*"([^"]+)"\s*\)$/.exec(text);
  if (sod !== null) return { kind: 'sod', roles: [sod[1] as string, sod[2] as string] };
  const sodMax = /^sodMax\s*\(\s*\[([^\]]+)\]\s*,\s*(\d+)\s*\)$/.exec(text);
  if (sodMax !== null) {
    const roles = (sodMax[1] as string).split(',').map((role) => role.trim().replace(/^"+|"+$/g, ''));
    const named = roles.filter((role) => role !== '');
    return named.length === 0 ? undefined : { kind: 'sodMax', roles: named, most: Number(sodMax[2]) };
  }
  const roleMax = /^roleMax\s*\(\s*"([^"]+)"\s*,\s*(\d+)\s*\)$/.exec(text);
  if (roleMax !== null) return { kind: 'roleMax', role: roleMax[1] as string, most: Number(roleMax[2]) };
  const rolePre = /^rolePre\s*\(\s*"([^"]+)"\s*,\s*"([^"]+)"\s*\)$/.exec(text);
  if (rolePre !== null) return { kind: 'rolePre', role: rolePre[1] as string, prerequisite: rolePre[2] as string };
  return undefined;
}

/** What breaks a constraint. */
export interface Violation {
  readonly message: string;
  /** Who has roles that the constraint forbids; undefined if it counts the users of a role. */
  readonly user: string | undefined;
}

/** Says what breaks the constraint among the rules of `g`; undefined if nothing does. */
export function violationOf(constraint: Constraint, groupings: readonly (readonly string[])[]): Violation | undefined {
  if (constraint.kind === 'roleMax') {
    const holders = groupings.filter((fields) => fields[1] === constraint.role).length;
    if (holders <= constraint.most) return undefined;
    const message = `role ${quote(constraint.role)} is given to ${holders} users, ${constraint.most} at most may have it`;
    return { message, user: undefined };
  }
  for (const [user, roles] of rolesByUser(groupings)) {
    switch (constraint.kind) {
      case 'sod': {
        if (constraint.roles.every((role) => roles.has(role))) {
          return { message: `user ${quote(user)} has both roles ${quoteList(constraint.roles, ' and ')}`, user };
        }
        break;
      }
      case 'sodMax': {
        const held = constraint.roles.filter((role) => roles.has(role));
        if (held.length > constraint.most) {
          const message = `user ${quote(user)} has ${held.length} of the roles ${quoteList(constraint.roles)}, ${constraint.most} at most are allowed`;
          return { message, user };
        }
        break;
      }
      case 'rolePre': {
        if (roles.has(constraint.role) && !roles.has(constraint.prerequisite)) {
          const message = `user ${quote(user)} has role ${quote(constraint.role)} without role ${quote(constraint.prerequisite)}`;
          return { message, user };
        }
        break;
      }
      default:
        constraint satisfies never;
    }
  }
  return undefined;
}

function rolesByUser(groupings: readonly (readonly string[])[]): ReadonlyMap<string, ReadonlySet<string>> {
  const users = new Map<string, Set<string>>();
  for (const [user = '', role = ''] of groupings) {
    const roles = users.get(user);
    if (roles === undefined) users.set(user, new Set([role]));
    else roles.add(role);
  }
  return users;
}
