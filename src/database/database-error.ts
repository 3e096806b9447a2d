/** What a database refused, in the words of its driver. Parameters of the statement, such as records, are not in it. */
export class DatabaseError extends Error {
  /**
   * @param message begins with the driver's code
   * @param code the driver's code, such as `SQLITE_BUSY`
   * @param isUnavailable whether the database cannot be used now: it is locked, damaged, read-only, gone, or its disk is full
   * @param isAway whether its server is gone or full, so that the same may go well a moment later; a file is never away
   */
  constructor(
    message: string,
    readonly code: string,
    readonly isUnavailable: boolean,
    readonly isAway = false,
  ) {
    super(message);
    this.name = 'DatabaseError';
  }
}

/** Whether something failed only because the server of the database is away. */
export function isAway(error: unknown): boolean {
  return error instanceof DatabaseError && error.isAway;
}
