import { addressGroup } from '../config/address-list.js';
import { Grants } from './grants.js';

/** How a caller was authenticated. */
export type AuthenticationMethod = 'none' | 'api_key' | 'basic' | 'jwt' | 'certificate' | 'session';

/** The authenticated sender of a request. */
export interface Caller {
  readonly name: string;
  readonly method: AuthenticationMethod;
  readonly grants: Grants;
  /** Of the access token, if it was one. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Decisions a day (UTC); no quota when left out. */
  readonly dailyQuota?: number;
}

/** Who calls while authentication is off. */
export const anonymous: Caller = Object.freeze({ name: 'anonymous', method: 'none', grants: Grants.all });

/**
 * What is counted for one caller. A key by whatever method it comes is one caller; a token may bear the same name and is
 * another; who does not authenticate is counted by address.
 */
export function callerKey({ name, method }: Caller, address: string): string {
  switch (method) {
    case 'none':
      return `address ${addressGroup(address)}`;
    case 'jwt':
      return `token ${name}`;
    default:
      return `key ${name}`;
  }
}
