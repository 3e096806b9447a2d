import { CheckpointSink } from './checkpoint-sink.js';
import type { StoredFleetCheckpoint } from './checkpoint-store.js';

/** The log of the process: a line for each checkpoint. */
export class LogSink extends CheckpointSink {
  readonly name = 'log';
  readonly place = 'the log of the process';

  constructor(private readonly write: (line: { readonly checkpoint: number; readonly note: string }) => void) {
    super();
  }

  async send({ number, note }: StoredFleetCheckpoint): Promise<void> {
    this.write({ checkpoint: number, note });
  }
}
