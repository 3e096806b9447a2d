/** Where bundles and their keys may be, as the configuration and the command line take it. */
import { isTrustworthyUrl } from './token-rules.js';

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

/** Says why keys cannot be at this place; undefined for a path, and for a URL over which nobody in between can change them. */
export function whyNotKeyPlace(place: string): string | undefined {
  if (!isUrl(place)) return undefined;
  // The fault, and later the place, is shown and logged.
  if (!URL.canParse(place)) return 'names a URL that is not well-formed';
  const { username, password } = new URL(place);
  if (username !== '' || password !== '') return 'names a URL with a user or a password; public keys need none';
  if (isTrustworthyUrl(place)) return undefined;
  return `names "${place}", which is neither a file nor an https URL (http is for loopback alone)`;
}

/** Whether it is a URL, and not a path. */
export function isUrl(place: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(place);
}

/** How the S3 API is reached, and as whom. */
export interface S3Settings {
  readonly region: string;
  /** Of the API, such as `https://s3.eu-central-1.amazonaws.com`; buckets are the first part of the path. */
  readonly endpoint: URL;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/**
 * Reads what S3 needs from the variables that the AWS tools read.
 *
 * @throws Error with what is missing
 */
export function readS3Settings(env: NodeJS.ProcessEnv): S3Settings {
  const given = (...names: string[]) => names.map((name) => env[name]).find((value) => (value ?? '') !== '');
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
  const sessionToken = given('AWS_SESSION_TOKEN');
  const common = { region, endpoint: new URL(endpoint), accessKeyId, secretAccessKey };
  return { ...common, ...(sessionToken !== undefined && { sessionToken }) };
}
