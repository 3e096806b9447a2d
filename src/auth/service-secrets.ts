/**
 * Random keys that the service makes for itself and that outlast a restart: what one replica signs or seals, every other
 * replica with the same database accepts.
 *
 * This class is the token for the injector. The folders beside it (`sqlite/`, `postgres/`) implement it.
 */
export abstract class ServiceSecrets {
  /** The 32 random bytes that are kept under a name; they are made when they are first asked for. */
  abstract get(name: string): Promise<Buffer>;
}
