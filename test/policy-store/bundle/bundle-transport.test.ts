import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { whyNotBundleUrl } from '../../../src/config/bundle-places.js';
import type { BundleTransport, GetOptions } from '../../../src/policy-store/bundle/bundle-transport.js';
import { openTransport } from '../../../src/policy-store/bundle/open-transport.js';
import { temporaryDirectory } from '../folders.js';
import { until } from '../store.js';
import { FaultyProxy, hasS3, S3Server } from './s3-server.js';

const refusal = (code: string, message = /./) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });
const small: GetOptions = { maxBytes: 10, timeoutMs: 20_000 };

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.closeAllConnections();
});

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

async function serve(handler: Handler): Promise<string> {
  const server = createServer(handler);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function textOf(transport: BundleTransport, path: string, options: Partial<GetOptions> = {}) {
  const found = await transport.get(path, { ...small, ...options });
  return found === 'unchanged' ? found : found.bytes.toString();
}

/** What every transport does; each makes an empty folder. */
function behavesAsFolder(newFolder: () => Promise<BundleTransport>): void {
  it('gives back what was written, in folders too', async () => {
    const folder = await newFolder();
    await folder.put('index.json', Buffer.from('one'));
    await folder.put('invoices/7-aa.tar', Buffer.from('two'));
    expect(await textOf(folder, 'index.json')).toBe('one');
    expect(await textOf(folder, 'invoices/7-aa.tar')).toBe('two');
  });

  it('reads a file again only when it has changed', async () => {
    const folder = await newFolder();
    await folder.put('index.json', Buffer.from('one'));
    const first = await folder.get('index.json', small);
    if (first === 'unchanged') throw new Error('there was nothing before');
    expect(await folder.get('index.json', { ...small, etag: first.etag })).toBe('unchanged');
    await folder.put('index.json', Buffer.from('two'));
    expect(await textOf(folder, 'index.json', { etag: first.etag })).toBe('two');
  });

  it('says which file is missing', async () => {
    const folder = await newFolder();
    await expect(folder.get('invoices/7-aa.tar', small)).rejects.toThrow(
      refusal('bundle_missing', /invoices\/7-aa\.tar/),
    );
  });

  it('reads as many bytes as are allowed and no more', async () => {
    const folder = await newFolder();
    await folder.put('a', Buffer.alloc(10));
    await folder.put('b', Buffer.alloc(11));
    expect(await textOf(folder, 'a')).toHaveLength(10);
    await expect(folder.get('b', small)).rejects.toThrow(refusal('bundle_too_large', /more than 10 bytes/));
  });

  it('writes a file under a condition only while that holds', async () => {
    const folder = await newFolder();
    await folder.put('index.json', Buffer.from('one'), 'absent');
    await expect(folder.put('index.json', Buffer.from('x'), 'absent')).rejects.toThrow(
      refusal('bundle_changed_meanwhile'),
    );
    const { etag } = (await folder.get('index.json', small)) as { etag: string };
    await folder.put('index.json', Buffer.from('two'), { etag });
    await expect(folder.put('index.json', Buffer.from('three'), { etag })).rejects.toThrow(
      refusal('bundle_changed_meanwhile'),
    );
    expect(await textOf(folder, 'index.json')).toBe('two');
  });
}

describe('bundles in a folder', () => {
  const openFolder = () => {
    const path = temporaryDirectory();
    return { path, folder: openTransport(pathToFileURL(path).href, {}) };
  };

  behavesAsFolder(async () => openFolder().folder);

  it('are not read through a link that leads out', async () => {
    const { path, folder } = openFolder();
    const secret = join(temporaryDirectory(), 'secret');
    writeFileSync(secret, 'hunter2');
    symlinkSync(secret, join(path, 'index.json'));
    symlinkSync('/etc', join(path, 'etc'));
    for (const name of ['index.json', 'etc/passwd']) {
      await expect(folder.get(name, small)).rejects.toThrow(refusal('bundle_unreachable', /leads out of the folder/));
    }
  });

  it('are read where the folder itself is a link', async () => {
    const { path, folder } = openFolder();
    await folder.put('index.json', Buffer.from('one'));
    const link = join(temporaryDirectory(), 'current');
    symlinkSync(path, link);
    expect(await textOf(openTransport(pathToFileURL(link).href, {}), 'index.json')).toBe('one');
  });

  it('do not wait for the other end of a pipe, and are no folder', async () => {
    const { path, folder } = openFolder();
    execFileSync('mkfifo', [join(path, 'index.json')]);
    mkdirSync(join(path, 'folder'));
    for (const name of ['index.json', 'folder']) {
      await expect(folder.get(name, small)).rejects.toThrow(refusal('bundle_unreachable', /it is not a file/));
    }
  });

  it('wait for another process that replaces one, but not for one that was killed', async () => {
    const { path, folder } = openFolder();
    const lock = join(path, '.index.json.lock');
    writeFileSync(lock, '');
    const put = folder.put('index.json', Buffer.from('one'), 'absent');
    // What is to replace it is there.
    await until(
      () => readdirSync(path).length,
      (files) => files === 2,
    );
    expect(readdirSync(path)).not.toContain('index.json');
    rmSync(lock);
    await put;
    writeFileSync(lock, '');
    const long = new Date(Date.now() - 60_000);
    utimesSync(lock, long, long);
    const { etag } = (await folder.get('index.json', small)) as { etag: string };
    await folder.put('index.json', Buffer.from('two'), { etag });
    expect(await textOf(folder, 'index.json')).toBe('two');
    expect(readdirSync(path)).toEqual(['index.json']);
  });

  it('are replaced by one of many that find the lock of one that was killed', async () => {
    const { path, folder } = openFolder();
    const lock = join(path, '.index.json.lock');
    const long = new Date(Date.now() - 60_000);
    await folder.put('index.json', Buffer.from('first'));
    for (let round = 1; round <= 20; round++) {
      writeFileSync(lock, '');
      utimesSync(lock, long, long);
      const { etag } = (await folder.get('index.json', small)) as { etag: string };
      const texts = Array.from({ length: 16 }, (_, n) => `${round}-${n}`);
      const puts = await Promise.allSettled(
        texts.map((text) => openTransport(pathToFileURL(path).href, {}).put('index.json', Buffer.from(text), { etag })),
      );
      const won = texts.filter((_, n) => puts[n]!.status === 'fulfilled');
      expect(won).toHaveLength(1);
      expect(await textOf(folder, 'index.json')).toBe(won[0]);
    }
    expect(readdirSync(path)).toEqual(['index.json']);
  });

  it('say which files are in the way where one was killed while it removed such a lock', async () => {
    const { path, folder } = openFolder();
    const lock = join(path, '.index.json.lock');
    const long = new Date(Date.now() - 60_000);
    for (const file of [lock, `${lock}.stale`]) {
      writeFileSync(file, '');
      utimesSync(file, long, long);
    }
    let now = performance.now();
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => (now += 10_000));
    onTestFinished(() => clock.mockRestore());
    const error = await folder.put('index.json', Buffer.from('one'), 'absent').catch((refused: unknown) => refused);
    expect(error).toMatchObject({ code: 'bundle_unreachable', extra: { hint: expect.stringContaining('.stale') } });
    expect(readdirSync(path).sort()).toEqual(['.index.json.lock', '.index.json.lock.stale']);
  });

  it('are read again when only their content changed, with size and time as before', async () => {
    const { path, folder } = openFolder();
    const file = join(path, 'index.json');
    const at = new Date('2026-03-03T10:00:00Z');
    writeFileSync(file, 'one');
    utimesSync(file, at, at);
    const { etag } = (await folder.get('index.json', small)) as { etag: string };
    writeFileSync(file, 'two');
    utimesSync(file, at, at);
    expect(await textOf(folder, 'index.json', { etag })).toBe('two');
  });
});

describe('bundles on a web server', () => {
  const open = (url: string) => openTransport(`${url}/bundles`, {});

  behavesAsFolder(async () => {
    const files = new Map<string, { bytes: Buffer; etag: string }>();
    let written = 0;
    const url = await serve((asked, response) => {
      const file = files.get(asked.url!);
      const { 'if-match': match, 'if-none-match': noneMatch } = asked.headers;
      if (asked.method === 'PUT') {
        const holds = match === undefined ? noneMatch === undefined || file === undefined : match === file?.etag;
        const pieces: Buffer[] = [];
        asked.on('data', (piece) => pieces.push(piece));
        asked.on('end', () => {
          if (holds) files.set(asked.url!, { bytes: Buffer.concat(pieces), etag: `"${++written}"` });
          response.writeHead(holds ? 204 : 412).end();
        });
      } else if (file === undefined) response.writeHead(404).end('not here');
      else if (noneMatch === file.etag) response.writeHead(304).end();
      else response.writeHead(200, { etag: file.etag }).end(file.bytes);
    });
    return open(url);
  });

  it('are asked for with the user and password of the URL, which no message repeats', async () => {
    const url = await serve((asked, response) => {
      const isRight = asked.headers.authorization === `Basic ${Buffer.from('ci:hunter2:é').toString('base64')}`;
      response.writeHead(isRight && asked.url === '/bundles/a' ? 200 : 401).end('one');
    });
    const withUser = (password: string) =>
      openTransport(`${url.replace('//', `//ci:${encodeURIComponent(password)}@`)}/bundles/`, {});
    expect(await textOf(withUser('hunter2:é'), 'a')).toBe('one');
    expect(withUser('hunter2').place).toBe(`${url}/bundles/`);
    await expect(withUser('hunter2').get('a', small)).rejects.toThrow(
      refusal('bundle_access_denied', /^(?!.*hunter2).*answered 401/),
    );
  });

  it('are followed to another place of the same host, three times', async () => {
    const url = await serve((asked, response) => {
      const left = Number(asked.url!.split('/').at(-1));
      if (left === 0) response.end('there');
      else response.writeHead(302, { location: `/elsewhere/${left - 1}` }).end();
    });
    expect(await textOf(open(url), '3')).toBe('there');
    await expect(open(url).get('4', small)).rejects.toThrow(refusal('bundle_redirected', /more than 3 redirects/));
  });

  it('are not followed to another host, and nothing is asked of it', async () => {
    let asked = 0;
    const other = await serve((_, response) => {
      asked++;
      response.end('x');
    });
    const targets = [`${other}/a`, `//${new URL(other).host}/a`, 'file:///etc/passwd', 'http://['];
    for (const location of targets) {
      const url = await serve((_, response) => response.writeHead(307, { location }).end());
      await expect(open(url).get('a', small)).rejects.toThrow(refusal('bundle_redirected'));
    }
    const writing = await serve((_, response) => response.writeHead(307, { location: `${other}/a` }).end());
    await expect(open(writing).put('a', Buffer.from('x'))).rejects.toThrow(refusal('bundle_unreachable', /307/));
    expect(asked).toBe(0);
  });

  it.each(['gzip', 'deflate', 'br', 'x-unknown', 'identity, gzip'])('are not inflated: %s', async (encoding) => {
    let accepted: unknown;
    // A megabyte of zeros in a kilobyte.
    const bomb = gzipSync(Buffer.alloc(1_048_576));
    const url = await serve((asked, response) => {
      accepted = asked.headers['accept-encoding'];
      response.writeHead(200, { 'content-encoding': encoding }).end(bomb);
    });
    await expect(open(url).get('a', { ...small, maxBytes: 10_000_000 })).rejects.toThrow(
      refusal('bundle_encoded', new RegExp(encoding)),
    );
    expect(accepted).toBe('identity');
  });

  it('are refused by what they claim to be before they are read, and by what they are where they claim nothing', async () => {
    const claiming = await serve((_, response) => {
      response.writeHead(200, { 'content-length': '11' });
      response.flushHeaders();
    });
    await expect(open(claiming).get('a', small)).rejects.toThrow(refusal('bundle_too_large'));
    let sent = 0;
    const endless = await serve((_, response) => {
      response.writeHead(200);
      const go = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536))) sent += 65_536;
        response.once('drain', go);
      };
      go();
    });
    await expect(open(endless).get('a', { ...small, maxBytes: 100_000 })).rejects.toThrow(refusal('bundle_too_large'));
    expect(sent).toBeLessThan(64 * 1_048_576);
  });

  it.each([
    ['half a body', (response: ServerResponse) => response.writeHead(200, { 'content-length': '8' }).write('half')],
    ['half a chunked body', (response: ServerResponse) => response.writeHead(200).write('half')],
  ])('are refused with %s', async (_, begin) => {
    const url = await serve((_asked, response) => {
      begin(response);
      setImmediate(() => response.destroy());
    });
    await expect(open(url).get('a', small)).rejects.toThrow(refusal('bundle_unreachable', /\/bundles\/a: /));
  });

  it('are refused where the server does not answer, or not to its end, in time', async () => {
    const silent = await serve(() => undefined);
    const slow = await serve((_, response) => void response.writeHead(200).write('.'));
    for (const url of [silent, slow]) {
      await expect(open(url).get('a', { ...small, timeoutMs: 200 })).rejects.toThrow(
        refusal('bundle_unreachable', /no whole answer within 200 ms/),
      );
    }
  });

  it.each([
    [500, 'bundle_unreachable'],
    [503, 'bundle_unreachable'],
    [204, 'bundle_unreachable'],
    [206, 'bundle_unreachable'],
    [304, 'bundle_unreachable'],
    [403, 'bundle_access_denied'],
    [410, 'bundle_missing'],
  ])('are refused with the status %i', async (status, code) => {
    const url = await serve((_, response) => response.writeHead(status).end());
    await expect(open(url).get('a', small)).rejects.toThrow(refusal(code, new RegExp(`${status}`)));
  });

  it.each([
    ['7', 7_000],
    ['100000', 300_000],
    ['soon', undefined],
    ['-1', undefined],
  ])('are asked for again when the server says so: %s', async (after, retryAfterMs) => {
    const url = await serve((_, response) => response.writeHead(503, { 'retry-after': after }).end());
    const error = await open(url)
      .get('a', small)
      .catch((caught: { extra: object }) => caught.extra);
    expect(error).toEqual(retryAfterMs === undefined ? {} : { retryAfterMs });
  });

  it('are refused where nobody listens', async () => {
    await expect(openTransport('http://127.0.0.1:1/', {}).get('a', small)).rejects.toThrow(
      refusal('bundle_unreachable', /ECONNREFUSED|bad port/),
    );
  });
});

describe.runIf(hasS3)('bundles in S3', () => {
  let s3: S3Server;
  let buckets = 0;

  beforeAll(async () => {
    s3 = await S3Server.start();
  }, 90_000);

  afterAll(() => s3.stop());

  async function newBucket(): Promise<string> {
    const name = `bundles-${++buckets}`;
    await s3.makeBucket(name);
    return name;
  }

  behavesAsFolder(async () => openTransport(`s3://${await newBucket()}/fleet/prod`, s3.env()));

  it('lie at the root of a bucket, too', async () => {
    const bucket = await newBucket();
    await openTransport(`s3://${bucket}`, s3.env()).put('fleet/index.json', Buffer.from('one'));
    expect(await textOf(openTransport(`s3://${bucket}/fleet/`, s3.env()), 'index.json')).toBe('one');
  });

  it('are not read with other credentials', async () => {
    const env = { ...s3.env(), AWS_SECRET_ACCESS_KEY: 'hunter2' };
    await expect(openTransport(`s3://${await newBucket()}`, env).get('first', small)).rejects.toThrow(
      refusal('bundle_access_denied', /^(?!.*hunter2)/),
    );
  });

  it('are refused from a server that answers 503 or breaks off', async () => {
    const bucket = await newBucket();
    const proxy = await FaultyProxy.to(s3.endpoint);
    const folder = openTransport(`s3://${bucket}`, s3.env(proxy.url));
    await folder.put('a', Buffer.from('whole'));
    expect(await textOf(folder, 'a')).toBe('whole');
    for (const fault of ['503', 'half'] as const) {
      proxy.fault = fault;
      await expect(folder.get('a', small)).rejects.toThrow(refusal('bundle_unreachable'));
    }
    proxy.close();
  });
});

describe('the URL of bundles', () => {
  it.each([
    'https://bundles.example/verdict',
    'https://ci:secret@bundles.example/',
    'http://localhost:8080/bundles',
    's3://verdict-bundles/prod',
    's3://verdict-bundles',
    'file:///srv/bundles',
  ])('may be %s', (url) => {
    expect(whyNotBundleUrl(url)).toBeUndefined();
  });

  it.each([
    ['http://bundles.example/', /https/],
    ['ftp://bundles.example/', /https/],
    ['bundles', /https/],
    ['', /https/],
    ['https://bundles.example/?token=x', /query/],
    ['https://bundles.example/#x', /fragment/],
    ['https://ci:%zz@bundles.example/', /percent/],
    ['s3://key:secret@bucket/', /AWS_ACCESS_KEY_ID/],
    ['s3://Not_A_Bucket/', /bucket/],
    ['s3:///x', /bucket/],
    ['file://other/srv', /this machine/],
  ])('is not %s', (url, message) => {
    expect(whyNotBundleUrl(url)).toMatch(message);
  });

  it('of S3 wants credentials, and an endpoint that nobody listens in on', () => {
    const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' };
    expect(() => openTransport('s3://bundles', { AWS_ACCESS_KEY_ID: 'a' })).toThrow(/AWS_SECRET_ACCESS_KEY/);
    expect(() => openTransport('s3://bundles', { ...env, AWS_ENDPOINT_URL: 'http://minio:9000' })).toThrow(/https/);
    expect(openTransport('s3://bundles/x/', env).place).toBe('s3://bundles/x/');
  });
});
