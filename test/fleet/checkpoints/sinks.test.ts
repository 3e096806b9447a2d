/** Where checkpoints of the fleet go: a file, a real S3, a receiver over HTTP. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { whyNotCheckpointSink } from '../../../src/config/checkpoint-sink.js';
import type { StoredFleetCheckpoint } from '../../../src/fleet/checkpoints/checkpoint-store.js';
import { openCheckpointSink } from '../../../src/fleet/checkpoints/open-checkpoint-sink.js';
import { temporaryDirectory } from '../../decision-log/temporary-log.js';
import { hasS3, S3Server } from '../../policy-store/bundle/s3-server.js';

const checkpoint = (number: number, note = `note ${number}`): StoredFleetCheckpoint => ({ number, time: 0, note });
const stored = async (number: number) => checkpoint(number);
const line = (number: number) => `{"number":${number},"time":"1970-01-01T00:00:00.000Z","note":"note ${number}"}\n`;

describe('a file', () => {
  it('is appended to, and says itself what it has', async () => {
    const path = join(temporaryDirectory(), 'checkpoints.ndjson');
    const sink = openCheckpointSink(path, {});
    expect(await sink.holdsTo(3, stored)).toBe(0);
    for (const number of [1, 2, 3]) await sink.send(checkpoint(number));
    expect(readFileSync(path, 'utf8')).toBe([1, 2, 3].map(line).join(''));
    expect(await openCheckpointSink(`file://${path}`, {}).holdsTo(0, stored)).toBe(3);
  });

  it('gets a line whole that was cut off, behind what is there of it', async () => {
    const path = join(temporaryDirectory(), 'checkpoints.ndjson');
    writeFileSync(path, `${line(1)}${line(2).slice(0, 20)}`);
    const sink = openCheckpointSink(path, {});
    expect(await sink.holdsTo(2, stored)).toBe(1);
    await sink.send(checkpoint(2));
    expect(readFileSync(path, 'utf8')).toBe(`${line(1)}${line(2).slice(0, 20)}\n${line(2)}`);
  });

  it('of another log, or of one that was put back since, is not written to', async () => {
    const path = join(temporaryDirectory(), 'checkpoints.ndjson');
    appendFileSync(path, line(5).replace('note 5', 'other'));
    const sink = openCheckpointSink(path, {});
    await expect(sink.holdsTo(9, stored)).rejects.toThrow('has another checkpoint 5');
    await expect(sink.holdsTo(4, async () => undefined)).rejects.toThrow('has another checkpoint 5');
    // One that the store does not keep any more.
    expect(await sink.holdsTo(9, async () => undefined)).toBe(5);
  });

  it('whose folder is not there yet takes nothing, and all of it later', async () => {
    const folder = join(temporaryDirectory(), 'later');
    const sink = openCheckpointSink(join(folder, 'file'), {});
    await expect(sink.send(checkpoint(1))).rejects.toThrow('ENOENT');
    mkdirSync(folder);
    expect(await sink.holdsTo(0, stored)).toBe(0);
    await sink.send(checkpoint(1));
    expect(existsSync(join(folder, 'file'))).toBe(true);
  });
});

describe('a receiver over HTTP', () => {
  it('gets each one posted as JSON, with the credentials of the URL; what is no success is a failure', async () => {
    const got: [IncomingMessage['headers'], string | undefined, string][] = [];
    let status = 204;
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        got.push([request.headers, request.url, body]);
        response.writeHead(status, { location: '/elsewhere' }).end();
      });
    }).listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    const sink = openCheckpointSink(`http://ann:s%20cret@127.0.0.1:${port}/take?log=1`, {});
    expect(sink.place).toBe(`http://127.0.0.1:${port}/take`);
    await sink.send(checkpoint(7));
    const [headers, url, body] = got[0]!;
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      authorization: `Basic ${Buffer.from('ann:s cret').toString('base64')}`,
    });
    expect([url, `${body}\n`]).toEqual(['/take?log=1', line(7)]);
    for (status of [302, 400, 409, 500]) await expect(sink.send(checkpoint(8))).rejects.toThrow(`answered ${status}`);
    expect(got).toHaveLength(5);
    await new Promise((resolve) => server.close(resolve));
    const error = await sink.send(checkpoint(8)).catch((thrown: Error) => thrown.message);
    expect(error).toMatch(/ECONNREFUSED|other side closed/);
    expect(error).not.toContain('cret');
  });
});

describe.skipIf(!hasS3)('a bucket (skipped where there is no S3)', () => {
  let s3: S3Server;
  beforeAll(async () => {
    s3 = await S3Server.start();
    await s3.makeBucket('checkpoints');
  }, 120_000);
  afterAll(() => s3.stop());

  it('gets an object for each, the same one twice without harm, and never another one in its place', async () => {
    const sink = openCheckpointSink('s3://checkpoints/of/ours', s3.env());
    await sink.send(checkpoint(1));
    await sink.send(checkpoint(2));
    await sink.send(checkpoint(2));
    await expect(sink.send(checkpoint(2, 'another'))).rejects.toThrow('has another checkpoint 2');
    const { AwsClient } = await import('aws4fetch');
    const env = s3.env();
    const client = new AwsClient({
      accessKeyId: env.AWS_ACCESS_KEY_ID!,
      secretAccessKey: env.AWS_SECRET_ACCESS_KEY!,
      service: 's3',
      region: 'us-east-1',
    });
    const object = await client.fetch(`${s3.endpoint}/checkpoints/of/ours/checkpoint-0000000000000002.json`);
    expect(await object.text()).toBe(line(2));
  });
});

describe('VERDICT_CHECKPOINT_SINK', () => {
  it.each([
    ['/var/log/verdict/checkpoints.ndjson', undefined],
    ['file:///srv/checkpoints', undefined],
    ['s3://bucket/folder', undefined],
    ['https://ann:secret@witness.example/take?log=1', undefined],
    ['http://127.0.0.1:9/take', undefined],
    ['http://witness.example/take', 'must be a file, or an https:// or s3:// URL (http:// is for loopback alone)'],
    ['ftp://witness.example/', 'must be a file, or an https:// or s3:// URL (http:// is for loopback alone)'],
    ['s3://b/x', 'must name a bucket: s3://bucket/folder'],
    ['file://host/x', 'must name a file of this machine: file:///srv/checkpoints'],
    ['https://witness.example/#x', 'must have no fragment'],
    ['https://%zz@witness.example/', 'must have its user and password percent-encoded'],
  ])('%s', (place, fault) => expect(whyNotCheckpointSink(place)).toBe(fault));
});
