import { fileURLToPath } from 'node:url';
import { isUrl } from '../../config/bundle-places.js';
import { openTransport } from '../../policy-store/bundle/open-transport.js';
import type { CheckpointSink } from './checkpoint-sink.js';
import { FileSink } from './file-sink.js';
import { HttpSink } from './http-sink.js';
import { S3Sink } from './s3-sink.js';

/**
 * Opens the sink of `VERDICT_CHECKPOINT_SINK`.
 *
 * @param place what `whyNotCheckpointSink` (config/checkpoint-sink.ts) finds nothing against
 * @param env where S3 finds region, endpoint and credentials
 * @throws Error with what is missing in `env`
 */
export function openCheckpointSink(place: string, env: NodeJS.ProcessEnv): CheckpointSink {
  if (!isUrl(place)) return new FileSink(place);
  const { protocol } = new URL(place);
  if (protocol === 'file:') return new FileSink(fileURLToPath(place));
  return protocol === 's3:' ? new S3Sink(openTransport(place, env)) : new HttpSink(new URL(place));
}
