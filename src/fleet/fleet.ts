import type { FleetReport } from './fleet-report.js';

/**
 * The replicas that share a database, and what each serves.
 *
 * This class is the token for the injector. Without PostgreSQL there is one replica (`SingleReplica`); with it, each says
 * once a second how it is (`postgres/`).
 */
export abstract class Fleet {
  /**
   * Asks who serves what.
   *
   * @throws DatabaseError
   */
  abstract report(): Promise<FleetReport>;

  /** What was known some seconds ago at the most, or while the database is away before that; undefined: never anything. */
  abstract recent(): Promise<FleetReport | undefined>;

  /** How long ago the others could hear of this replica, in milliseconds. */
  abstract get heardAgeMs(): number;

  abstract start(): void;

  abstract stop(): Promise<void>;
}
