import { readFileSync } from 'node:fs';
import { join, parse } from 'node:path';
import { replacePrivateFile } from '../files/replace-private-file.js';

/** How far a sink has got. */
export interface SinkOffset {
  /** The name of the journal. */
  readonly journal: string;
  /** Every record up to it was taken, refused, or is gone. */
  readonly sequence: number;
}

/** Between two writes of the file, in milliseconds. What was sent since the last one is sent again after a crash. */
const writeEveryMs = 500;

/** The file beside the service's database: `data/verdict.sqlite` → `data/verdict.log-sinks.json`. */
export function sinkOffsetsPath(databasePath: string): string {
  const { dir, name } = parse(databasePath);
  return join(dir, `${name}.log-sinks.json`);
}

/**
 * How far each sink has got, in a file that is replaced as a whole:
 *
 *     {"otlp":{"journal":"5f0c…","sequence":1048}}
 *
 * A sink that is not in it begins with the oldest record that is kept. One that is not configured any more is left out when it is
 * written, so that nothing is kept for it.
 */
export class SinkOffsets {
  private readonly offsets = new Map<string, SinkOffset>();
  private written = '';
  private writing: Promise<void> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;

  /**
   * @param sinks those that are configured
   * @param onProblem hears of a file that cannot be read or written
   */
  constructor(
    private readonly path: string,
    sinks: readonly string[],
    private readonly onProblem: (what: string, error: unknown) => void,
  ) {
    const stored = this.read();
    for (const name of sinks) {
      const offset = stored[name];
      if (isOffset(offset)) this.offsets.set(name, offset);
    }
  }

  of(sink: string): SinkOffset | undefined {
    return this.offsets.get(sink);
  }

  /** Takes note of it; it is in the file soon. */
  note(sink: string, offset: SinkOffset): void {
    this.offsets.set(sink, offset);
    this.timer ??= setTimeout(() => void this.write(), writeEveryMs).unref();
  }

  /** Writes what was noted. */
  async write(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.writing = this.writing.then(() => this.writeNow());
    await this.writing;
  }

  private async writeNow(): Promise<void> {
    const text = `${JSON.stringify(Object.fromEntries(this.offsets))}\n`;
    if (text === this.written) return;
    try {
      await replacePrivateFile(this.path, Buffer.from(text));
      this.written = text;
    } catch (error) {
      // The next note tries again; until then a crash sends more records twice.
      this.onProblem(`how far the log sinks have got cannot be written: ${this.path}`, error);
    }
  }

  private read(): { readonly [sink: string]: unknown } {
    let text: string;
    try {
      text = readFileSync(this.path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
      throw error;
    }
    try {
      return JSON.parse(text) ?? {};
    } catch (error) {
      this.onProblem(`how far the log sinks have got cannot be read, so that they begin anew: ${this.path}`, error);
      return {};
    }
  }
}

function isOffset(value: unknown): value is SinkOffset {
  const { journal, sequence } = (value ?? {}) as Partial<SinkOffset>;
  return typeof journal === 'string' && Number.isSafeInteger(sequence) && sequence! >= 0;
}
