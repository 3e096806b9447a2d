/** Where checkpoints go beside the log. */
import { isUrl, whyNotBundleUrl } from './bundle-places.js';

/**
 * Says why checkpoints cannot be sent there; undefined for the path of a file, `file:///…`, `s3://bucket/folder` and `https://…`.
 *
 *     whyNotCheckpointSink('ftp://x/')   // 'must be a file, or an https:// or s3:// URL (http:// is for loopback alone)'
 */
export function whyNotCheckpointSink(place: string): string | undefined {
  if (!isUrl(place)) return undefined;
  const kinds = 'must be a file, or an https:// or s3:// URL (http:// is for loopback alone)';
  if (!URL.canParse(place)) return kinds;
  const { protocol, hash } = new URL(place);
  switch (protocol) {
    case 's3:':
      return whyNotBundleUrl(place);
    case 'file:':
      return whyNotBundleUrl(place) === undefined
        ? undefined
        : 'must name a file of this machine: file:///srv/checkpoints';
    case 'https:':
    case 'http:': {
      if (hash !== '') return 'must have no fragment';
      // A query may say to the receiver whose they are.
      const fault = whyNotBundleUrl(place.replace(/\?.*$/, ''));
      return fault?.startsWith('must be') ? kinds : fault;
    }
    default:
      return kinds;
  }
}
