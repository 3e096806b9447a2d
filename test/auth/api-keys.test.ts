import { mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { digestOf, environmentOf, makeApiKey } from '../../src/auth/api-key.js';
import { readApiKeyFile } from '../../src/auth/api-key-file.js';
import { ApiKeys } from '../../src/auth/api-keys.js';
import type { ManagedKeys } from '../../src/auth/managed-keys.js';
import { SqliteManagedKeys } from '../../src/auth/sqlite/sqlite-managed-keys.js';
import { PolicyError } from '../../src/core/problem.js';
import { apiKeyPattern } from '../../src/logging/mask-credentials.js';

const address = '127.0.0.1';

describe('the text of an API key', () => {
  it('has 256 random bits, an environment and a checksum', () => {
    const keys = new Set(Array.from({ length: 1_000 }, () => makeApiKey('prod')));
    expect(keys.size).toBe(1_000);
    for (const key of keys) {
      expect(key).toMatch(new RegExp(`^${apiKeyPattern}$`));
      expect(environmentOf(key)).toBe('prod');
    }
  });

  it('is known from noise: one wrong, missing or exchanged character shows', () => {
    const key = makeApiKey('prod');
    for (let at = 8; at < key.length; at++) {
      const changed = key.slice(0, at) + (key[at] === 'x' ? 'y' : 'x') + key.slice(at + 1);
      expect(environmentOf(changed), changed).toBeUndefined();
      expect(environmentOf(key.slice(0, at) + key.slice(at + 1))).toBeUndefined();
    }
    expect(environmentOf(key.replace('prod', 'test'))).toBeUndefined();
    expect(environmentOf(` ${key}`)).toBeUndefined();
    expect(environmentOf(`${key}\n`)).toBeUndefined();
  });

  it('is kept as SHA-256', () => {
    expect(digestOf('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });
});

describe('the file of API keys', () => {
  const digest = 'a'.repeat(64);
  const codesOf = (text: string) => {
    try {
      readApiKeyFile('keys.yaml', text);
      return [];
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      return error.problems.map(({ code, line }) => `${line} ${code}`);
    }
  };

  it('is a list, or a list under keys', () => {
    const entry = `- {name: shop, sha256: ${digest}, scopes: [decide]}`;
    expect(readApiKeyFile('keys.yaml', entry)).toMatchObject([{ key: { name: 'shop' }, digests: [digest] }]);
    expect(readApiKeyFile('keys.yaml', `keys:\n  ${entry}`)).toMatchObject([{ key: { name: 'shop' } }]);
    expect(readApiKeyFile('keys.yaml', '')).toEqual([]);
  });

  it('may name two digests while a key is rotated, and certificates instead of any', () => {
    const text = `- name: shop\n  sha256: [${digest}, ${'b'.repeat(64)}]\n  scopes: [decide]\n- name: web\n  certificate: CN=web\n  scopes: [decide]\n`;
    expect(readApiKeyFile('keys.yaml', text)).toMatchObject([
      { digests: [digest, 'b'.repeat(64)] },
      { certificates: ['CN=web'] },
    ]);
  });

  it.each([
    [`- name: a\n  sha256: ${digest}\n  scope: [decide]`, ['1 missing_value', '3 unknown_key']],
    [`- name: a\n  sha256: ${digest}\n  scopes: [decides]`, ['3 unknown_scope']],
    [`- name: a\n  sha256: ${digest.slice(1)}\n  scopes: [decide]`, ['2 wrong_value']],
    [`- name: a\n  sha256: ${makeApiKey('prod')}\n  scopes: [decide]`, ['2 wrong_value']],
    [`- name: a:b\n  sha256: ${digest}\n  scopes: [decide]`, ['1 wrong_value']],
    ['- name: a\n  scopes: [decide]', ['1 missing_value']],
    [`- name: a\n  sha256: ${digest}\n  scopes: [decide]\n  expires: tomorrow`, ['4 wrong_value']],
    [`- name: a\n  sha256: ${digest}\n  scopes: [decide]\n  expires: 2026-02-30`, ['4 wrong_value']],
    [`- name: a\n  sha256: ${digest}\n  scopes: [decide]\n  addresses: [10.0.0.0/33]`, ['4 wrong_value']],
    [
      `- {name: a, sha256: ${digest}, scopes: [decide]}\n- {name: a, sha256: ${digest}, scopes: [decide]}`,
      ['1 duplicate_key'],
    ],
    [
      `- {name: a, sha256: ${digest}, scopes: [decide]}\n- {name: b, sha256: ${digest}, scopes: [decide]}`,
      ['1 duplicate_key'],
    ],
    [
      `- {name: a, certificate: CN=a, scopes: [decide]}\n- {name: b, certificate: [CN=b, CN=a], scopes: [decide]}`,
      ['1 duplicate_key'],
    ],
    ['name: a', ['1 unknown_key']],
  ])('is refused with its place: %j', (text, problems) => {
    expect(codesOf(text)).toEqual(problems);
  });
});

describe('API keys', () => {
  let directory: string;
  let managed: ManagedKeys;
  let keys: ApiKeys;
  const log = { info: vi.fn(), error: vi.fn() };
  const database = () => join(directory, 'data', 'verdict.sqlite');

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'verdict-api-keys-'));
    managed = await SqliteManagedKeys.open(database());
  });
  afterEach(async () => {
    await keys.stop();
    await managed.close();
    rmSync(directory, { recursive: true, force: true });
  });

  async function start(file?: string): Promise<void> {
    keys = new ApiKeys({ environment: 'test', managed, log, pollMs: 50, ...(file !== undefined && { file }) });
    await keys.start();
  }

  const isGood = (key: string, now = Date.now()) => typeof keys.authenticate(key, address, now) === 'object';

  /** Within a second, as is promised; usually at the next look. */
  async function within1s(condition: () => boolean): Promise<void> {
    const end = Date.now() + 1_000;
    while (!condition() && Date.now() < end) await sleep(10);
    expect(condition()).toBe(true);
  }

  it('in a database are in a file that its owner alone can read, and only as digests', async () => {
    await start();
    const key = await managed.create({ name: 'shop', scopes: ['decide'] }, 'test', 'me', Date.now());
    expect(statSync(database()).mode & 0o777).toBe(0o600);
    const rows = JSON.stringify(await managed.list());
    expect(rows).toContain(digestOf(key));
    expect(rows).not.toContain(key.split('_')[2]);
  });

  it('that another process makes are good within a second, and refused within a second when it revokes them', async () => {
    await start();
    const elsewhere = await SqliteManagedKeys.open(database());
    const key = await elsewhere.create({ name: 'shop', scopes: ['decide'] }, 'test', 'me', Date.now());
    await within1s(() => isGood(key));
    await elsewhere.revoke('shop', Date.now());
    await within1s(() => !isGood(key));
    await elsewhere.close();
  });

  it('give a name beyond ASCII that is claimed for a good key the answer of any wrong name', async () => {
    await start();
    const key = await managed.create({ name: 'shop', scopes: ['decide'] }, 'test', 'me', Date.now());
    await keys.refresh();
    for (const name of ['shöp', 'ѕhop', 'sho\u{1f511}', 'SHOP', 'shop ', '']) {
      expect(keys.authenticate(key, address, Date.now(), name)).toBe('unknown');
    }
    expect(keys.authenticate(key, address, Date.now(), 'shop')).toMatchObject({ key: { name: 'shop' } });
  });

  it('in a database do not pass for a caller that the file declares, not even one that is declared later', async () => {
    const file = join(directory, 'keys.yaml');
    writeFileSync(file, '');
    await start(file);
    const key = await managed.create({ name: 'Root', scopes: ['decide'] }, 'test', 'me', Date.now());
    await keys.refresh();
    expect(isGood(key)).toBe(true);
    const root = makeApiKey('test');
    writeFileSync(file, `- {name: root, sha256: ${digestOf(root)}, scopes: [decide]}`);
    await within1s(() => isGood(root));
    expect(isGood(key)).toBe(false);
    expect(log.error).toHaveBeenCalledWith(
      { key: 'Root' },
      expect.stringContaining('declares a caller of the same name'),
    );
    expect(keys.isOfAnotherKind('ROOT')).toBe(true);
    expect(keys.isOfAnotherKind('rooty')).toBe(false);
    keys.noteTokenName('Rooty');
    expect(keys.isOfAnotherKind('rooty')).toBe(true);
  });

  it('are refused by the environment in front, though the digest is known', async () => {
    await start();
    const key = await managed.create({ name: 'shop', scopes: ['decide'] }, 'prod', 'me', Date.now());
    await keys.refresh();
    expect(keys.authenticate(key, address, Date.now())).toBe('other_environment');
  });

  it('of any environment are good where none is configured', async () => {
    keys = new ApiKeys({ managed, log });
    await keys.start();
    const key = await managed.create({ name: 'shop', scopes: ['decide'] }, 'staging', 'me', Date.now());
    await keys.refresh();
    expect(isGood(key)).toBe(true);
    expect(keys.authenticate(makeApiKey('staging'), address, Date.now())).toBe('unknown');
  });

  it('say to the operator alone why they are refused', async () => {
    await start();
    const now = Date.now();
    const key = await managed.create(
      { name: 'shop', scopes: ['decide'], expires: now + 1_000, addresses: ['10.0.0.0/8', '2001:db8::/32'] },
      'test',
      'me',
      now,
    );
    await keys.refresh();
    expect(keys.authenticate(key, '10.255.0.1', now)).toMatchObject({ key: { name: 'shop' } });
    expect(keys.authenticate(key, '::ffff:10.0.0.1', now)).toMatchObject({ key: { name: 'shop' } });
    expect(keys.authenticate(key, '2001:db8::1', now)).toMatchObject({ key: { name: 'shop' } });
    expect(keys.authenticate(key, '11.0.0.1', now)).toBe('other_address');
    expect(keys.authenticate(key, 'not an address', now)).toBe('other_address');
    expect(keys.authenticate(key, '10.0.0.1', now + 999)).toMatchObject({ key: { name: 'shop' } });
    expect(keys.authenticate(key, '10.0.0.1', now + 1_000)).toBe('expired');
    expect(keys.authenticate(key, '10.0.0.1', now, 'shop')).toMatchObject({ key: { name: 'shop' } });
    expect(keys.authenticate(key, '10.0.0.1', now, 'shot')).toBe('unknown');
    expect(keys.authenticate(makeApiKey('test'), '10.0.0.1', now)).toBe('unknown');
    expect(keys.authenticate('vd_test_x', '10.0.0.1', now)).toBe('malformed');
  });

  it('are rotated with an overlap: two are good, never three, and then one', async () => {
    await start();
    const now = Date.now();
    const first = await managed.create({ name: 'shop', scopes: ['decide'] }, 'test', 'me', now);
    const second = await managed.rotate('shop', 'test', 60_000, now);
    await keys.refresh();
    expect([isGood(first, now), isGood(second, now)]).toEqual([true, true]);
    expect([isGood(first, now + 59_999), isGood(first, now + 60_000)]).toEqual([true, false]);
    const third = await managed.rotate('shop', 'test', 60_000, now);
    await keys.refresh();
    expect([isGood(first, now), isGood(second, now), isGood(third, now)]).toEqual([false, true, true]);
    await managed.rotate('shop', 'test', 0, now);
    await keys.refresh();
    expect([isGood(second, now), isGood(third, now)]).toEqual([false, false]);
  });

  it('note their last use once a minute and not with every request', async () => {
    await start();
    const now = Date.now();
    const key = await managed.create({ name: 'shop', scopes: ['decide'] }, 'test', 'me', now);
    await keys.refresh();
    const write = vi.spyOn(managed, 'used');
    for (let n = 0; n < 1_000; n++) isGood(key, now + n);
    await keys.refresh();
    expect(write.mock.calls.filter(([uses]) => uses.size > 0)).toHaveLength(1);
    expect((await managed.find('shop'))?.secrets[0]?.lastUsed).toBe(now);
    isGood(key, now + 60_000);
    await keys.refresh();
    expect((await managed.find('shop'))?.secrets[0]?.lastUsed).toBe(now + 60_000);
  });

  it('are written to have been used together, by the second and not by the request', async () => {
    await start();
    const now = Date.now();
    const names = ['a', 'b', 'c', 'd'];
    const made = await Promise.all(
      names.map((name) => managed.create({ name, scopes: ['decide'] }, 'test', 'me', now)),
    );
    await keys.refresh();
    const [write, looks] = [vi.spyOn(managed, 'used'), vi.spyOn(managed, 'changes')];
    for (const [n, key] of made.entries()) {
      expect(isGood(key, now)).toBe(true);
      await expect.poll(() => looks.mock.calls.length).toBeGreaterThan(2 * n);
    }
    expect(write).not.toHaveBeenCalled();
    await keys.stop();
    expect(write.mock.calls.map(([uses]) => [...uses.keys()])).toEqual([made.map(digestOf)]);
  });

  it('that are read twice at once are those of the reading that began last', async () => {
    let look!: () => Promise<void>;
    vi.spyOn(managed, 'watch').mockImplementation((given) => {
      look = given;
      return { ageMs: 0, end: () => undefined };
    });
    const key = await managed.create({ name: 'shop', scopes: ['decide'] }, 'test', 'me', Date.now());
    await start();
    expect(isGood(key)).toBe(true);
    const before = await managed.list();
    let letGo!: () => void;
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    vi.spyOn(managed, 'list').mockImplementationOnce(() => held.then(() => before));
    const first = look();
    await managed.revoke('shop', Date.now());
    await look();
    expect(isGood(key)).toBe(false);
    letGo();
    await first;
    expect(isGood(key)).toBe(false);
  });

  it('in a file are read again when it changes; a broken file changes nothing and is said', async () => {
    const file = join(directory, 'keys.yaml');
    const [a, b] = [makeApiKey('test'), makeApiKey('test')];
    const entry = (name: string, key: string) => `- {name: ${name}, sha256: ${digestOf(key)}, scopes: [decide]}\n`;
    const write = (text: string) => {
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
    };
    write(entry('a', a));
    await start(file);
    expect([isGood(a), isGood(b)]).toEqual([true, false]);
    write(entry('b', b));
    await within1s(() => isGood(b) && !isGood(a));
    log.error.mockClear();
    write('- {name: b, scopes: [everything]}');
    await within1s(() => log.error.mock.calls.length > 0);
    expect(JSON.stringify(log.error.mock.calls)).toContain('unknown_scope');
    expect(isGood(b)).toBe(true);
    rmSync(file);
    await sleep(150);
    expect(isGood(b)).toBe(true);
    write('');
    await within1s(() => !isGood(b));
  });

  it('of a file that is wrong at the start prevent the start', async () => {
    await start();
    const file = join(directory, 'keys.yaml');
    writeFileSync(file, '- name: a');
    const broken = new ApiKeys({ environment: 'test', managed, log, file });
    await expect(broken.start()).rejects.toBeInstanceOf(PolicyError);
    const missing = new ApiKeys({ environment: 'test', managed, log, file: join(directory, 'nowhere') });
    await expect(missing.start()).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('count as usable only while one is', async () => {
    await start();
    const now = Date.now();
    expect(keys.hasUsable(now)).toBe(false);
    await managed.create({ name: 'shop', scopes: ['decide'], expires: now + 1_000 }, 'test', 'me', now);
    await keys.refresh();
    expect([keys.hasUsable(now + 999), keys.hasUsable(now + 1_000)]).toEqual([true, false]);
  });
});
