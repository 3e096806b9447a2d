import { BundleError } from '../../policy-store/bundle/bundle-error.js';
import type { BundleTransport } from '../../policy-store/bundle/bundle-transport.js';
import { CheckpointSink, checkpointLine, ForeignCheckpoint } from './checkpoint-sink.js';
import type { StoredFleetCheckpoint } from './checkpoint-store.js';

const timeoutMs = 10_000;
const maxBytes = 16 * 1024 * 1024;

/** A folder of a bucket with an object for each checkpoint, created and never replaced: `checkpoint-0000000000000042.json`. */
export class S3Sink extends CheckpointSink {
  readonly name = 's3';

  constructor(private readonly folder: BundleTransport) {
    super();
  }

  get place(): string {
    return this.folder.place;
  }

  async send(checkpoint: StoredFleetCheckpoint): Promise<void> {
    const path = `checkpoint-${`${checkpoint.number}`.padStart(16, '0')}.json`;
    const line = Buffer.from(`${checkpointLine(checkpoint)}\n`);
    try {
      await this.folder.put(path, line, 'absent');
    } catch (error) {
      if (!(error instanceof BundleError) || error.code !== 'bundle_changed_meanwhile') throw error;
      // It was sent before, and what the store answered was lost; or it is another one.
      const there = await this.folder.get(path, { maxBytes, timeoutMs });
      if (there !== 'unchanged' && !there.bytes.equals(line))
        throw new ForeignCheckpoint(this.place, checkpoint.number);
    }
  }
}
