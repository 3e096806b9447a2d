/**
 * A journal in a folder, so that records outlive the process. Each process has an instance of its own, and files of its own:
 *
 *     <instance>-<first>.ndjson     records from that number on, one a line, as the service takes them
 *     lock                          a socket that the process listens on: it dies with the process, whatever ends it
 *
 * A line is there once it ends with a line feed: what a kill cut off counts as never written. A file is removed when the service has
 * all of it. Nothing is synced to the disk: lines outlive the process, not the machine.
 */
import { type JournalEntry, numbersOf, Outbox, textOf, weightOfBytes } from './journal.js';
import { copyTexts, lengthOf, storedText } from './text-store.js';

type Fs = typeof import('node:fs');
type Net = typeof import('node:net');
type Path = typeof import('node:path');
type Descriptor = number;

/** Bytes of a file, after which the next one is begun. */
const fileLength = 4 * 2 ** 20;
const lineFeed = 0x0a;

interface JournalFile {
  readonly path: string;
  readonly instance: string;
  readonly first: number;
  /** The number behind its last record. */
  next: number;
}

export class JournalFolder {
  private files: JournalFile[] = [];
  private open: { readonly file: JournalFile; readonly descriptor: Descriptor; length: number } | undefined;

  private constructor(
    private readonly fs: Fs,
    private readonly path: Path,
    private readonly folder: string,
    private readonly unlock: () => void,
  ) {}

  /**
   * Takes a folder, which is made if it is not there.
   *
   * @throws Error where another process has it, or it cannot be used
   */
  static async take(folder: string): Promise<JournalFolder> {
    const builtin = (globalThis as { process?: { getBuiltinModule?: (name: string) => unknown } }).process
      ?.getBuiltinModule;
    // Not imported: bundlers for browsers would look for them.
    if (builtin === undefined) throw new TypeError('journal.directory wants Node.js 20.16 or newer');
    const [fs, net, path] = ['node:fs', 'node:net', 'node:path'].map(builtin) as [Fs, Net, Path];
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    return new JournalFolder(fs, path, folder, await lock(fs, net, path.join(folder, 'lock')));
  }

  /** What earlier processes left. */
  left(): readonly Outbox[] {
    const names = this.fs.readdirSync(this.folder).flatMap((name) => {
      const [, instance, first] = /^([0-9a-f]{32})-(\d{1,15})\.ndjson$/.exec(name) ?? [];
      return instance === undefined ? [] : [{ name, instance, first: Number(first) }];
    });
    const outboxes = new Map<string, Outbox>();
    for (const { name, instance, first } of names.sort((a, b) => a.first - b.first)) {
      const path = this.path.join(this.folder, name);
      const text = this.fs.readFileSync(path, 'utf8');
      const { mtimeMs } = this.fs.statSync(path);
      const outbox = outboxes.get(instance) ?? new Outbox(instance, first);
      outboxes.set(instance, outbox);
      // What could not be written once is behind a hole.
      if (first > outbox.next) outbox.add({ kind: 'lost', count: first - outbox.next, from: mtimeMs, to: mtimeMs });
      let number = first;
      for (const line of text.split('\n').slice(0, -1)) {
        const entry = entryIn(line);
        // One that a file before has, too, where that could not be cut off.
        if (number >= outbox.next) outbox.add(entry);
        number += numbersOf(entry);
      }
      this.files.push({ path, instance, first, next: outbox.next });
    }
    return [...outboxes.values()];
  }

  /**
   * Appends entries of this process.
   *
   * @param first the number of the first of them
   * @throws where they cannot be written; what comes next begins a new file
   */
  append(instance: string, first: number, entries: readonly JournalEntry[]): void {
    const texts = entries.map(textOf);
    const bytes = new Uint8Array(lengthOf(texts));
    copyTexts(texts, bytes, 0, lineFeed);
    const next = entries.reduce((number, entry) => number + numbersOf(entry), first);
    if (this.open === undefined || this.open.length > fileLength || this.open.file.next !== first) {
      this.begin(instance, first);
    }
    const { open } = this;
    if (open === undefined) return;
    try {
      for (let at = 0; at < bytes.length; ) at += this.fs.writeSync(open.descriptor, bytes, at);
      open.length += bytes.length;
      open.file.next = next;
    } catch (error) {
      this.giveUp(open);
      throw error;
    }
  }

  /** Removes the files of an instance whose records are all of before a number. */
  dropBefore(instance: string, number: number): void {
    const isDone = (file: JournalFile) => file.instance === instance && file.next <= number;
    for (const file of this.files) {
      if (!isDone(file)) continue;
      if (this.open?.file === file) this.end();
      this.fs.rmSync(file.path, { force: true });
    }
    this.files = this.files.filter((file) => !isDone(file));
  }

  close(): void {
    this.end();
    this.unlock();
  }

  private begin(instance: string, first: number): void {
    this.end();
    const path = this.path.join(this.folder, `${instance}-${first}.ndjson`);
    const file = { path, instance, first, next: first };
    this.open = { file, descriptor: this.fs.openSync(path, 'w', 0o600), length: 0 };
    this.files.push(file);
  }

  /** What was written of the last entries goes; of a file that has nothing else, the file. */
  private giveUp({ file, descriptor, length }: NonNullable<JournalFolder['open']>): void {
    try {
      this.fs.ftruncateSync(descriptor, length);
    } finally {
      this.end();
      if (file.next === file.first) {
        this.fs.rmSync(file.path, { force: true });
        this.files = this.files.filter((each) => each !== file);
      }
    }
  }

  private end(): void {
    if (this.open !== undefined) this.fs.closeSync(this.open.descriptor);
    this.open = undefined;
  }
}

function entryIn(line: string): JournalEntry {
  const [, count, from, to] = /^\{"lost":(\d+),"from":"([^"]+)","to":"([^"]+)"\}$/.exec(line) ?? [];
  if (count === undefined) {
    const text = storedText(line);
    return { kind: 'record', text, weight: weightOfBytes(text.end), time: undefined, hasRequestId: true };
  }
  return { kind: 'lost', count: Number(count), from: Date.parse(String(from)), to: Date.parse(String(to)) };
}

/**
 * Listens on a socket of that path. One that nobody listens on any more is taken over.
 *
 * @returns what ends it
 * @throws Error where another process listens
 */
async function lock(fs: Fs, net: Net, path: string): Promise<() => void> {
  for (let tries = 0; tries < 10; tries++) {
    const server = net.createServer((socket) => socket.destroy());
    const code = await new Promise<string | undefined>((resolve) => {
      server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
      // Not that of a cluster's primary, which would share it.
      server.listen({ path, exclusive: true }, () => resolve(undefined));
    });
    if (code === undefined) {
      server.unref();
      return () => void server.close();
    }
    if (code !== 'EADDRINUSE') throw new Error(`the folder of the journal cannot be locked (${path}): ${code}`);
    const before = inodeOf(fs, path);
    const isAlive = await new Promise<boolean>((resolve) => {
      const socket = net.connect(path);
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('close', () => socket.destroy());
    });
    if (isAlive) throw new Error(`another process has the folder of the journal (${path})`);
    // Two that find it dead must not both take it: only one moves it away, and what it moved must be what was dead.
    const away = `${path}.${Math.random().toString(36).slice(2)}`;
    try {
      fs.renameSync(path, away);
    } catch {
      continue;
    }
    if (inodeOf(fs, away) === before) fs.rmSync(away, { force: true });
    else fs.renameSync(away, path);
  }
  throw new Error(`the folder of the journal cannot be locked (${path})`);
}

function inodeOf(fs: Fs, path: string): number | undefined {
  return fs.statSync(path, { throwIfNoEntry: false })?.ino;
}
