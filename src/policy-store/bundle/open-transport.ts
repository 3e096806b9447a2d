import { fileURLToPath } from 'node:url';
import { isTrustworthyUrl } from '../../config/token-rules.js';
import type { BundleTransport } from './bundle-transport.js';
import { FileTransport } from './file-transport.js';
import { HttpTransport } from './http-transport.js';
import { S3Transport } from './s3-transport.js';

/**
 * Says why this cannot be the URL of a folder of bundles; undefined if it can.
 *
 *     whyNotBundleUrl('ftp://x/')   // 'must be an https://, s3:// or file:// URL (http:// is for loopback alone)'
 */
export function whyNotBundleUrl(text: string): string | undefined {
  const kinds = 'must be an https://, s3:// or file:// URL (http:// is for loopback alone)';
  if (!URL.canParse(text)) return kinds;
  const { protocol, hostname, search, hash, username } = new URL(text);
  if (search !== '' || hash !== '') return 'must have no query and no fragment: it is a folder';
  switch (protocol) {
    case 'https:':
    case 'http:':
      if (!isTrustworthyUrl(text)) return kinds;
      return isDecodable(text) ? undefined : 'must have its user and password percent-encoded';
    case 's3:':
      if (username !== '')
        return 'must have no credentials: they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY';
      return /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(hostname) ? undefined : 'must name a bucket: s3://bucket/folder';
    case 'file:':
      return hostname === '' ? undefined : 'must name a folder of this machine: file:///srv/bundles';
    default:
      return kinds;
  }
}

function isDecodable(text: string): boolean {
  const { username, password } = new URL(text);
  try {
    decodeURIComponent(`${username}${password}`);
    return true;
  } catch {
    return false;
  }
}

/**
 * Opens a folder of bundles.
 *
 * @param url one that `whyNotBundleUrl` has nothing against
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
  const given = (...names: string[]) =>
    names.map((name) => env[name]).find((value) => value !== undefined && value !== '');
  const accessKeyId = given('AWS_ACCESS_KEY_ID');
  const secretAccessKey = given('AWS_SECRET_ACCESS_KEY');
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw new Error('s3:// needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment');
  }
  const region = given('AWS_REGION', 'AWS_DEFAULT_REGION') ?? 'us-east-1';
  const endpoint = given('AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL') ?? `https://s3.${region}.amazonaws.com`;
  if (!isTrustworthyUrl(endpoint)) {
    throw new Error('AWS_ENDPOINT_URL_S3 must be an https:// URL (http:// is for loopback alone)');
  }
  const prefix = pathname.replace(/^\/+|\/+$/g, '');
  const sessionToken = given('AWS_SESSION_TOKEN');
  return new S3Transport({
    bucket: hostname,
    prefix: prefix === '' ? '' : `${prefix}/`,
    region,
    endpoint: new URL(endpoint),
    accessKeyId,
    secretAccessKey,
    ...(sessionToken !== undefined && { sessionToken }),
  });
}
