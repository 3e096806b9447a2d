/**
 * The database that the stores of keys, audit events and versions share. What it holds is asked of the stores; this says how
 * it does. It is the token for the injector; `sqlite/` implements it.
 */
export abstract class ServiceDatabase {
  /** What is wrong with it, for people; undefined when it was well at the last look. Nothing is waited for. */
  abstract get problem(): string | undefined;

  /** The room that it takes, in bytes. */
  abstract size(): Promise<number>;
}
