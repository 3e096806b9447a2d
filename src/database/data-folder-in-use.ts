/** A serving process, as another one names it. */
export interface DataFolderHolder {
  readonly instance: string;
  readonly pid: number;
}

/** Another process serves with this data folder. */
export class DataFolderInUse extends Error {
  override readonly name = 'DataFolderInUse';

  constructor(
    readonly folder: string,
    /** Undefined when the lock is held by a process that has not said who it is. */
    readonly holder: DataFolderHolder | undefined,
  ) {
    const who = holder === undefined ? 'another process' : `instance "${holder.instance}" (process ${holder.pid})`;
    super(`the data folder ${folder} is in use by ${who}`);
  }
}
