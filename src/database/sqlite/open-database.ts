import { existsSync, renameSync, rmSync } from 'node:fs';
import { fileIdentity } from './file-identity.js';

/** A database that this process has open, by the files that it lies in. */
export class OpenDatabase {
  private main: string;
  private wal: string;

  constructor(readonly path: string) {
    this.main = fileIdentity(path);
    this.wal = fileIdentity(`${path}-wal`);
  }

  /**
   * Which of its files was removed or replaced since: the database itself, its WAL, or none. What was committed is still
   * there behind the open connections, and nowhere else.
   */
  vanished(): 'database' | 'wal' | undefined {
    if (fileIdentity(this.path) !== this.main) return 'database';
    const wal = fileIdentity(`${this.path}-wal`);
    // SQLite makes it with the first statement.
    if (this.wal === '') this.wal = wal;
    return wal === this.wal ? undefined : 'wal';
  }

  /** Takes the WAL that is there for ours, after SQLite has made it anew; not when the database is another one by now. */
  noteWal(): void {
    if (fileIdentity(this.path) === this.main) this.wal = fileIdentity(`${this.path}-wal`);
  }

  /**
   * Makes room at the path, once all connections are closed: the WAL of the vanished file goes, and what else lies there is
   * renamed. Returns its new name; undefined when there was nothing.
   */
  clearPlace(): string | undefined {
    const { path } = this;
    // SQLite leaves its WAL there when it sees that the database has moved.
    if (this.wal !== '' && fileIdentity(`${path}-wal`) === this.wal) {
      for (const suffix of ['-wal', '-shm']) rmSync(path + suffix, { force: true });
    }
    const name = `${path}.other-${new Date().toISOString().replace(/[-:]/g, '').replace('.', '_')}`;
    for (const suffix of ['-wal', '-shm', '']) {
      if (existsSync(path + suffix)) renameSync(path + suffix, name + suffix);
    }
    return existsSync(name) ? name : undefined;
  }
}
