import { fileURLToPath } from 'node:url';
import { readS3Settings } from '../../config/bundle-places.js';
import type { BundleTransport } from './bundle-transport.js';
import { FileTransport } from './file-transport.js';
import { HttpTransport } from './http-transport.js';
import { S3Transport } from './s3-transport.js';

/**
 * Opens a folder of bundles.
 *
 * @param url one that `whyNotBundleUrl` (config/bundle-places.ts) finds nothing against
 * @param env where S3 finds region, endpoint and credentials, by the names that the AWS tools read
 * @throws Error with what is missing in `env`
 */
export function openTransport(url: string, env: NodeJS.ProcessEnv): BundleTransport {
  const parsed = new URL(url);
  switch (parsed.protocol) {
    case 's3:':
      return openS3(parsed, env);
    case 'file:':
      return new FileTransport(fileURLToPath(parsed));
    default:
      return new HttpTransport(parsed);
  }
}

function openS3({ hostname, pathname }: URL, env: NodeJS.ProcessEnv): S3Transport {
  const prefix = pathname.replace(/^\/+|\/+$/g, '');
  return new S3Transport({
    ...readS3Settings(env),
    bucket: hostname,
    prefix: prefix === '' ? '' : `${prefix}/`,
  });
}
