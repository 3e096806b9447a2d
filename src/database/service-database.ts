/**
 * The database that the stores of keys, audit events and versions share. What it holds is asked of the stores; this says how
 * it does. It is the token for the injector; `sqlite/` and `postgres/` implement it.
 */
export abstract class ServiceDatabase {
  /** What is wrong with it, for people; undefined when it was well at the last look. Nothing is waited for. */
  abstract get problem(): string | undefined;

  /** The room that it takes, in bytes; what it was at the last look where it cannot be asked now. */
  abstract size(): Promise<number>;

  /** Begins to look after it. */
  abstract start(): void;

  /** Ends that, before the stores close their connections. */
  abstract stop(): Promise<void>;

  /** Closes what the stores have in common, after them. */
  abstract close(): Promise<void>;
}
