import { randomBytes } from 'node:crypto';
import { isAway } from '../database/database-error.js';

const retryMs = 2_000;

/**
 * Random keys that the service makes for itself and that outlast a restart: what one replica signs or seals, every other
 * replica with the same database accepts.
 *
 * This class is the token for the injector. The folders beside it (`sqlite/`, `postgres/`) implement it.
 */
export abstract class ServiceSecrets {
  /** The 32 random bytes that are kept under a name; they are made when they are first asked for. */
  abstract get(name: string): Promise<Buffer>;

  /**
   * Gives the bytes of a name to `use`. While the server of the database is away, `use` gets others first, which are good
   * until the kept ones are known: what was sealed with them cannot be opened then.
   */
  async give(name: string, use: (secret: Buffer) => void): Promise<void> {
    try {
      use(await this.get(name));
    } catch (error) {
      if (!isAway(error)) throw error;
      use(randomBytes(32));
      this.giveLater(name, use);
    }
  }

  private giveLater(name: string, use: (secret: Buffer) => void): void {
    setTimeout(() => {
      void this.get(name).then(use, () => this.giveLater(name, use));
    }, retryMs).unref();
  }
}
