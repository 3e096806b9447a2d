/** Keeps API keys for commands: in a running service, or in its database. */
import { expiryOf } from '../../auth/api-key-file.js';
import { askServer, type ServerOptions } from './server.js';

/** A key as the options describe it; `expires` is a time that `expiryOf` reads. */
export interface NewKey {
  readonly scope: string[];
  readonly set?: string[];
  readonly address?: string[];
  readonly owner?: string;
  readonly expires?: string;
}

/** Makes, lists, rotates and revokes keys, by calling a service or on its database. */
export interface KeyKeeper {
  create(name: string, key: NewKey): Promise<string>;
  list(): Promise<readonly DescribedKey[]>;
  rotate(name: string, overlapSeconds: number): Promise<string>;
  revoke(name: string): Promise<void>;
}

/** As `/v1/api-keys` describes it; times in RFC 3339. */
export interface DescribedKey {
  readonly name: string;
  readonly scopes: readonly string[];
  readonly sets?: readonly string[];
  readonly owner?: string;
  readonly expires?: string;
  readonly revoked?: string;
  readonly lastUsed?: string;
}

/** A service, for callers with the scope `keys:admin`. */
export function keysOfServer(server: ServerOptions): KeyKeeper {
  const pathOf = (name: string) => `/v1/api-keys/${encodeURIComponent(name)}`;
  return {
    async create(name, { scope: scopes, set: sets, address: addresses, owner, expires }) {
      const until = expires === undefined ? undefined : expiryOf(expires);
      const rest = { sets, addresses, owner, expires: until === undefined ? undefined : new Date(until).toISOString() };
      const body = { name, scopes, ...rest };
      return ((await askServer(server, 'POST', '/v1/api-keys', body)) as { key: string }).key;
    },
    async list() {
      return ((await askServer(server, 'GET', '/v1/api-keys')) as { items: readonly DescribedKey[] }).items;
    },
    async rotate(name, overlapSeconds) {
      const body = { overlapSeconds };
      return ((await askServer(server, 'POST', `${pathOf(name)}/rotate`, body)) as { key: string }).key;
    },
    async revoke(name) {
      await askServer(server, 'DELETE', pathOf(name));
    },
  };
}
