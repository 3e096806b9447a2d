import { open } from 'node:fs/promises';
import { CheckpointSink, checkpointLine, ForeignCheckpoint, type StoredCheckpoints } from './checkpoint-sink.js';
import type { StoredFleetCheckpoint } from './checkpoint-store.js';

/** Bytes at the end of the file in which its last line is looked for. */
const tailBytes = 4 * 1024 * 1024;

/**
 * A file with a line for each checkpoint, which is only ever appended to: it may lie on a disk that forbids everything else. A line
 * that a full disk cut off stays, and the whole one follows it.
 */
export class FileSink extends CheckpointSink {
  readonly name = 'file';
  private isCutOff = false;

  constructor(readonly place: string) {
    super();
  }

  /** Each machine has a file of its own, so the file itself says what it has. */
  override async holdsTo(sent: number, stored: StoredCheckpoints): Promise<number> {
    const text = await this.tail();
    this.isCutOff = text !== '' && !text.endsWith('\n');
    for (const line of text.split('\n').slice(0, -1).reverse()) {
      const number = numberIn(line);
      if (number === undefined) continue;
      const own = await stored(number);
      const isForeign = own === undefined ? number > sent : checkpointLine(own) !== line;
      if (isForeign) throw new ForeignCheckpoint(this.place, number);
      return number;
    }
    return 0;
  }

  async send(checkpoint: StoredFleetCheckpoint): Promise<void> {
    const file = await open(this.place, 'a', 0o600);
    try {
      const line = `${this.isCutOff ? '\n' : ''}${checkpointLine(checkpoint)}\n`;
      this.isCutOff = true;
      await file.writeFile(line);
      await file.datasync();
      this.isCutOff = false;
    } finally {
      await file.close();
    }
  }

  private async tail(): Promise<string> {
    try {
      const file = await open(this.place, 'r');
      try {
        const { size } = await file.stat();
        const bytes = Buffer.alloc(Math.min(size, tailBytes));
        const { bytesRead } = await file.read(bytes, 0, bytes.length, size - bytes.length);
        return bytes.toString('utf8', 0, bytesRead);
      } finally {
        await file.close();
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
      throw error;
    }
  }
}

function numberIn(line: string): number | undefined {
  try {
    const { number } = JSON.parse(line) as { number?: unknown };
    return typeof number === 'number' ? number : undefined;
  } catch {
    return undefined;
  }
}
