/** What a database refused, in the words of its driver. Parameters of the statement, such as records, are not in it. */
export class DatabaseError extends Error {
  /**
   * @param message begins with the driver's code
   * @param code the driver's code, such as `SQLITE_BUSY`
   * @param isUnavailable whether the database cannot be used now: it is locked, damaged, read-only, gone, or its disk is full
   */
  constructor(
    message: string,
    readonly code: string,
    readonly isUnavailable: boolean,
  ) {
    super(message);
    this.name = 'DatabaseError';
  }
}
