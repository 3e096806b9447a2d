import { createHash } from 'node:crypto';
import { AwsClient } from 'aws4fetch';
import type { S3Settings } from '../../config/bundle-places.js';
import type { FetchedFile, GetOptions, PutCondition } from './bundle-transport.js';
import { BundleTransport } from './bundle-transport.js';
import { download, upload } from './http-exchange.js';
import { conditionHeaders, contentHeaders } from './http-transport.js';

export interface S3Options extends S3Settings {
  readonly bucket: string;
  /** What all keys begin with; empty, or with a slash at its end. */
  readonly prefix: string;
}

/** Bundles in a bucket of S3, or of a store that speaks its API. */
export class S3Transport extends BundleTransport {
  readonly place: string;
  private readonly client: AwsClient;
  private readonly folder: URL;

  constructor({ bucket, prefix, region, endpoint, accessKeyId, secretAccessKey, sessionToken }: S3Options) {
    super();
    this.place = `s3://${bucket}/${prefix}`;
    this.folder = new URL(`${endpoint.pathname.replace(/\/*$/, '/')}${bucket}/${prefix}`, endpoint.origin);
    this.client = new AwsClient({
      accessKeyId,
      secretAccessKey,
      service: 's3',
      region,
      // Who asks decides when to ask again.
      retries: 0,
      ...(sessionToken !== undefined && { sessionToken }),
    });
  }

  get(path: string, options: GetOptions): Promise<FetchedFile | 'unchanged'> {
    return download(new URL(path, this.folder), options, async (address, init) => {
      const { headers, ...rest } = init;
      return fetch(await this.client.sign(address.href, { headers: headers ?? {} }), rest);
    });
  }

  put(path: string, bytes: Uint8Array, condition?: PutCondition): Promise<void> {
    const address = new URL(path, this.folder);
    const body = new Uint8Array(bytes);
    const headers = {
      ...conditionHeaders(condition),
      ...contentHeaders(path),
      'x-amz-content-sha256': createHash('sha256').update(body).digest('hex'),
    };
    return upload(address, async (init) =>
      fetch(await this.client.sign(address.href, { method: 'PUT', headers, body }), init),
    );
  }
}
