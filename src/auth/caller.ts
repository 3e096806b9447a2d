import { addressGroup } from '../config/address-list.js';
import { Grants } from './grants.js';

/** How a caller was authenticated. */
export type AuthenticationMethod = 'none' | 'api_key' | 'basic' | 'jwt' | 'certificate' | 'session';

/** The authenticated sender of a request. */
export interface Caller {
  readonly name: string;
  readonly method: AuthenticationMethod;
  readonly grants: Grants;
  /** Claims of the access token, if the caller has one. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Decisions a day (UTC); no quota when left out. */
  readonly dailyQuota?: number;
}

/** Who calls while authentication is off. */
export const anonymous: Caller = Object.freeze({ name: 'anonymous', method: 'none', grants: Grants.all });

/**
 * The key that limits count a caller by. A key is one caller by every method. A token with the same name is another
 * caller. Requests without a credential are counted by address.
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
