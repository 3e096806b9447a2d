/** `@verdict/client/local`: what it decides by. What is not certain to be the set that serves does not allow. */
import type { RequestListener, ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  LocalVerdict,
  type LocalVerdictOptions,
  type LocalWarning,
  VerdictProblem,
  VerdictUnavailable,
} from '../../packages/client/src/local/local-verdict.js';
import { makeAuthority } from '../security/certificates.js';
import {
  bundleOf,
  type LocalService,
  localService,
  mayRead,
  newSigner,
  sendProblem,
  signatureOf,
} from './local-service.js';
import { listening, scripted } from './scripted-server.js';

const maxStalenessMs = 1_000;
let service: LocalService;
const warnings: LocalWarning[] = [];
beforeEach(async () => {
  warnings.length = 0;
  service = await localService();
});
afterEach(() => service.stop());

async function open(options: Partial<LocalVerdictOptions> = {}): Promise<LocalVerdict> {
  const verdict = await LocalVerdict.open({
    ...(options.baseUrls === undefined && { baseUrl: service.url }),
    policySets: ['docs'],
    maxStalenessMs,
    onWarning: (warning) => warnings.push(warning),
    ...options,
  });
  onTestFinished(() => verdict.close());
  return verdict;
}

const kinds = () => [...new Set(warnings.map(({ kind }) => kind).filter((kind) => !kind.startsWith('records')))];

/** Waits until it decides no more. What it allows until then is what the set allows that it has. */
async function untilTooOld(verdict: LocalVerdict): Promise<void> {
  for (;;) {
    try {
      expect(verdict.can(mayRead('ann'))).toBe(true);
      expect(verdict.can(mayRead('eve'))).toBe(false);
    } catch (error) {
      expect(error).toBeInstanceOf(VerdictUnavailable);
      expect((error as VerdictUnavailable).kind).toBe('too_old');
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const asJson = { 'content-type': 'application/json' };
const answering = (answer: (response: ServerResponse) => void) => () => {
  service.spoil = (_asked, response) => {
    answer(response);
    return true;
  };
};
/** What it sends is the bundle of another version, and wrong. */
const sending = (more: object) => () => {
  service.bundle = bundleOf(['ann', 'ben'], more);
};
const aged = (age: string) => () => {
  service.headers = { 'verdict-source-age': age };
};
const files = bundleOf(['ann']).files as readonly { readonly path: string }[];
const broken = { files: files.map((file) => (file.path === 'model.conf' ? { ...file, text: '[matchers]' } : file)) };
const closed = files.filter(({ path }) => path !== 'policy-set.yaml');

describe('open', () => {
  it.each<[string, () => void]>([
    ['answers 500', answering((response) => response.writeHead(500).end())],
    ['answers nothing', answering(() => {})],
    [
      'breaks off within the body',
      answering((response) => {
        response.writeHead(200, { ...asJson, 'content-length': 9_999 }).write('{"format"', () => response.destroy());
      }),
    ],
    ['redirects', answering((response) => response.writeHead(302, { location: '/elsewhere' }).end())],
    [
      'answers with a page',
      answering((response) =>
        response.writeHead(200, { 'content-type': 'text/html' }).end(JSON.stringify(bundleOf(['eve']))),
      ),
    ],
    ['sends no JSON', answering((response) => response.writeHead(200, asJson).end('{'))],
    ['sends another set', sending({ set: 'other' })],
    ['sends another version than it says', sending({ version: bundleOf(['eve']).version })],
    ['sends what does not load', sending(broken)],
    ['sends another format', sending({ format: 2 })],
    ['sends what a newer engine reads', sending({ semantics: 99 })],
  ])('gives up where the service %s', async (_what, spoil) => {
    spoil();
    await expect(open({ timeoutMs: 300 })).rejects.toBeInstanceOf(VerdictUnavailable);
  });

  it('says what the service refuses', async () => {
    answering((response) => sendProblem(response, 403, 'local_not_allowed'))();
    await expect(open()).rejects.toMatchObject({ name: 'VerdictProblem', code: 'local_not_allowed' });
    expect(kinds()).toEqual(['refused']);
  });

  it('gives up where nobody is, and where the certificate is of nobody who is trusted', async () => {
    const gone = await scripted(() => {});
    await gone.stop();
    await expect(open({ baseUrls: [gone.url], timeoutMs: 300 })).rejects.toMatchObject({ kind: 'network' });
    const { cert, key } = await (await makeAuthority('nobody')).issue('localhost', { server: true });
    const answer: RequestListener = (_request, response) => response.end(JSON.stringify(bundleOf(['ann'])));
    const tls = await listening(createTlsServer({ cert, key }, answer));
    onTestFinished(() => tls.stop());
    await expect(open({ baseUrls: [tls.url.replace('http:', 'https:')], timeoutMs: 300 })).rejects.toMatchObject({
      kind: 'network',
    });
  });

  it.each<[string, object]>([
    ['no set', { policySets: [] }],
    ['a set twice', { policySets: ['docs', 'docs'] }],
    ['a default that is not among them', { policySet: 'other' }],
    ['a bound that nothing can keep', { maxStalenessMs: 999 }],
    ['no room', { journal: { maxRecords: 0 } }],
    ['another reaction', { journal: { whenFull: 'drop' } }],
    ['no keys', { keys: { keys: [] } }],
    ['what is no key', { keys: { keys: [{ key: 'a+b+c' }] } }],
    ['no time', { timeoutMs: 0 }],
  ])('takes no options that cannot be meant: %s', async (_what, options) => {
    await expect(open(options)).rejects.toBeInstanceOf(TypeError);
  });
});

describe('a policy set', () => {
  it('is followed', async () => {
    const verdict = await open();
    expect([verdict.can(mayRead('ann')), verdict.can(mayRead('eve'))]).toEqual([true, false]);
    service.bundle = bundleOf(['eve']);
    await expect.poll(() => verdict.version()?.version).toBe(service.bundle.version);
    expect([verdict.can(mayRead('ann')), verdict.can(mayRead('eve'))]).toEqual([false, true]);
    expect(kinds()).toEqual([]);
  });

  it.each<[string, () => void, string]>([
    ['is gone', () => void service.stop(), 'unreachable'],
    ['answers nothing', answering(() => {}), 'unreachable'],
    ['answers 503', answering((response) => sendProblem(response, 503, 'policy_set_unavailable')), 'unreachable'],
    ['refuses it', answering((response) => sendProblem(response, 403, 'forbidden')), 'refused'],
    ['sends one that does not load', sending(broken), 'bundle_refused'],
    ['sends one of another version than it says', sending({ version: bundleOf(['eve']).version }), 'bundle_refused'],
    ['sends what nobody may decide by', sending({ files: closed }), 'bundle_refused'],
    ['says that it is old', aged('60000'), ''],
    ['does not say how old it is', aged('new'), ''],
  ])(
    'decides until it is too old where the service %s, and is back when the service is',
    async (_what, spoil, warning) => {
      const verdict = await open();
      const { bundle } = service;
      spoil();
      await untilTooOld(verdict);
      expect(verdict.decide(mayRead('ann'), { onUnavailable: 'deny' })).toMatchObject({
        allowed: false,
        reason: { code: 'unavailable' },
      });
      expect(kinds()).toEqual(warning === '' ? [] : [warning]);
      if (warning === 'unreachable' && _what === 'is gone') return;
      Object.assign(service, { spoil: undefined, headers: {}, bundle });
      await expect.poll(() => verdict.decide(mayRead('ann'), { onUnavailable: 'deny' }).allowed).toBe(true);
    },
  );

  it('is that of the next address where one does not answer, and never one of before', async () => {
    const other = await localService(bundleOf(['ann'], { revision: 4 }));
    onTestFinished(() => other.stop());
    service.bundle = bundleOf(['ann', 'eve'], { revision: 5 });
    // Long enough that nothing here makes it old.
    const verdict = await open({ baseUrls: [service.url, other.url], maxStalenessMs: 60_000 });
    expect(verdict.version()).toMatchObject({ revision: 5 });
    answering((response) => response.writeHead(500).end())();
    // It is behind: what it says of a set that it does not have yet is nothing.
    await expect.poll(() => other.asked.length).toBeGreaterThan(1);
    expect(verdict.version()).toMatchObject({ revision: 5 });
    other.bundle = bundleOf(['eve'], { revision: 6 });
    await expect.poll(() => verdict.version()).toMatchObject({ revision: 6 });
    expect([verdict.can(mayRead('ann')), verdict.can(mayRead('eve'))]).toEqual([false, true]);
  });

  it.each([3_600_000, -7_200_000])('is not decided by while the clock is off by %d ms', async (ms) => {
    const verdict = await open({ maxStalenessMs: 60_000 });
    expect(verdict.can(mayRead('ann'))).toBe(true);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + ms });
    onTestFinished(() => void vi.useRealTimers());
    expect(() => verdict.can(mayRead('ann'))).toThrow(VerdictUnavailable);
    // Also when the service was heard since.
    await expect.poll(kinds).toEqual(['clock_off']);
    const denied = () => verdict.decide(mayRead('ann'), { onUnavailable: 'deny' }).reason;
    await expect.poll(denied).toMatchObject({ message: expect.stringContaining('clock') });
    vi.useRealTimers();
    await expect.poll(() => verdict.decide(mayRead('ann'), { onUnavailable: 'deny' }).allowed).toBe(true);
  });

  it('goes back to a lower revision, of a source that was put back, when it is too old', async () => {
    service.bundle = bundleOf(['ann'], { revision: 5 });
    const verdict = await open();
    service.bundle = bundleOf(['eve'], { revision: 3 });
    await expect.poll(kinds).toEqual(['unreachable']);
    await expect.poll(() => verdict.version()).toMatchObject({ revision: 3 });
    expect([verdict.can(mayRead('ann')), verdict.can(mayRead('eve'))]).toEqual([false, true]);
  });

  it('is no newer for a wait that did not take that long', async () => {
    service.headers = { 'verdict-waited': '3600000', 'verdict-source-age': '60000' };
    const verdict = await open();
    expect(() => verdict.can(mayRead('ann'))).toThrow('was known to be current');
  });

  it('decides with another engine than that of the service, and says so', async () => {
    service.bundle = bundleOf(['ann'], { engineVersion: '9.9.9' });
    const verdict = await open();
    expect(verdict.can(mayRead('ann'))).toBe(true);
    expect(kinds()).toEqual(['other_engine']);
  });

  it('is not asked any more when it was closed', async () => {
    const verdict = await open();
    await verdict.close();
    expect(() => verdict.decide(mayRead('ann'))).toThrow('closed');
    const asked = service.asked.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(service.asked.length).toBe(asked);
  });

  it('is decided by under a demand of its own', async () => {
    service.headers = { 'verdict-source-age': '500' };
    const verdict = await open({ maxStalenessMs: 60_000 });
    expect(verdict.can({ ...mayRead('ann'), maxStaleness: '30s' })).toBe(true);
    expect(() => verdict.can({ ...mayRead('ann'), maxStaleness: '500ms' })).toThrow('was known to be current');
    expect(() => verdict.can({ ...mayRead('ann'), atLeast: 1 })).toThrow(VerdictProblem);
  });
});

describe('with keys', () => {
  const signer = newSigner();
  const signed = async (how: (body: Buffer) => Promise<string | undefined>) => {
    service.spoil = ({ path, headers }, response) => {
      if (!path.startsWith('/v1/policy-sets')) return undefined;
      const body = Buffer.from(JSON.stringify(service.bundle));
      void how(body).then((signature) => {
        const etag = `"${service.bundle.version}"`;
        if (headers['if-none-match'] === etag) return response.writeHead(304, { 'verdict-source-age': 0 }).end();
        response
          .writeHead(200, {
            etag,
            'content-type': 'application/json',
            'verdict-source-age': 0,
            ...(signature !== undefined && { 'verdict-bundle-signature': signature }),
          })
          .end(body);
      });
      return true;
    };
  };

  it('a set that one of them signed decides', async () => {
    await signed((body) => signatureOf(body, signer));
    const verdict = await open({ keys: { keys: [...newSigner().keys.keys, ...signer.keys.keys] } });
    expect(verdict.can(mayRead('ann'))).toBe(true);
  });

  it.each<[string, (body: Buffer) => Promise<string | undefined>]>([
    ['that nobody signed', async () => undefined],
    ['that another key signed', (body) => signatureOf(body, newSigner())],
    [
      'that another key signed under its name',
      (body) => signatureOf(body, { ...newSigner(), name: signer.name, id: signer.id }),
    ],
    ['of which other bytes were signed', (body) => signatureOf(Buffer.concat([body, Buffer.from(' ')]), signer)],
    ['that was signed as something else', (body) => signatureOf(body, signer, { typ: 'verdict-bundle' })],
    ['whose signature is none', async () => 'e30..e30'],
    ['whose signature is no text of one', async () => 'signed'],
  ])('no set decides %s', async (_what, how) => {
    await signed(how);
    await expect(open({ keys: signer.keys, timeoutMs: 300 })).rejects.toMatchObject({ kind: 'malformed' });
    expect(kinds()).toEqual(['bundle_refused']);
  });
});
