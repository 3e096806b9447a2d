import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { confirmStepMs, KeysCopy } from '../../src/auth/keys-copy.js';
import type { ManagedKey } from '../../src/auth/managed-keys.js';
import { temporaryDirectory } from '../decision-log/temporary-log.js';

const now = Date.UTC(2026, 10, 29, 12);
const database = 'db.example:5432/main?schema=verdict';

function keyOf(name: string): ManagedKey {
  return {
    name,
    scopes: ['decide'],
    created: now,
    createdBy: 'me',
    secrets: [{ digest: 'a'.repeat(64), created: now }],
  };
}

function newCopy(of = database, path = join(temporaryDirectory(), 'keys.json')) {
  return { copy: new KeysCopy(path, of), path };
}

describe('the copy of managed keys', () => {
  it('gives back what was written, with its time; the last of several writes counts', async () => {
    const { copy, path } = newCopy();
    expect(await copy.read(now)).toBeUndefined();
    const writes = ['a', 'b', 'c'].map((name, n) => copy.write({ keys: [keyOf(name)], confirmed: now + n }));
    await Promise.all(writes);
    expect(await new KeysCopy(path, database).read(now)).toEqual({ keys: [keyOf('c')], confirmed: now + 2 });
    await copy.write({ keys: [], confirmed: now + 3 });
    expect(await copy.read(now)).toEqual({ keys: [], confirmed: now + 3 });
    expect(existsSync(`${path}.new`)).toBe(false);
  });

  it("is its owner's alone, whatever the umask is and whatever a killed process left behind", async () => {
    const mask = process.umask(0);
    onTestFinished(() => void process.umask(mask));
    const { copy, path } = newCopy();
    writeFileSync(`${path}.new`, 'half');
    chmodSync(`${path}.new`, 0o666);
    await copy.write({ keys: [keyOf('a')], confirmed: now });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('notes once a minute that its keys are still all, without other keys', async () => {
    const { copy, path } = newCopy();
    await copy.confirm(now);
    expect(existsSync(path)).toBe(false);
    await copy.write({ keys: [keyOf('a')], confirmed: now });
    await copy.confirm(now + confirmStepMs - 1);
    expect(await copy.read(now)).toMatchObject({ confirmed: now });
    await copy.confirm(now + confirmStepMs);
    expect(await copy.read(now)).toEqual({ keys: [keyOf('a')], confirmed: now + confirmStepMs });
    // After a clock was set back, the time is not one to come for an hour.
    await copy.confirm(now - 3_600_000);
    expect(await copy.read(now)).toMatchObject({ confirmed: now - 3_600_000 });
  });

  it('is tried again when it could not be written', async () => {
    const { copy, path } = newCopy();
    await copy.write({ keys: [keyOf('a')], confirmed: now });
    mkdirSync(`${path}.new`);
    await expect(copy.confirm(now + confirmStepMs)).rejects.toThrow();
    rmSync(`${path}.new`, { recursive: true });
    await copy.confirm(now + confirmStepMs + 1);
    expect(await copy.read(now + confirmStepMs)).toMatchObject({ confirmed: now + confirmStepMs + 1 });
  });

  it.each([
    ['cut off', (text: string) => text.slice(0, -20), /damaged/],
    ['with a key more', (text: string) => text.replace('"shop"', '"root"'), /damaged/],
    ['empty', () => '', /not a copy of keys/],
    ['of another release', (text: string) => text.replace('keys 1', 'keys 2'), /another release/],
    ['of another form', () => '[]\n[]\n', /not a copy of keys/],
    ['of another database', (text: string) => text.replace('main', 'test'), /another database: db.example:5432\/test/],
    ['without a time', (text: string) => text.replace('"confirmed"', '"when"'), /time is to come/],
    ['of tomorrow', (text: string) => text.replace('2026-11-29', '2026-11-30'), /time is to come: 2026-11-30/],
  ])('is not used when it is %s, and says why', async (_what, change, why) => {
    const { copy, path } = newCopy();
    await copy.write({ keys: [keyOf('shop')], confirmed: now });
    expect(await copy.read(now)).toMatchObject({ keys: [{ name: 'shop' }] });
    writeFileSync(path, change(readFileSync(path, 'utf8')));
    await expect(copy.read(now)).rejects.toThrow(why);
  });

  it('may be a minute ahead of the clock, and no more', async () => {
    const { copy } = newCopy();
    await copy.write({ keys: [], confirmed: now });
    expect(await copy.read(now - 60_000)).toBeDefined();
    await expect(copy.read(now - 60_001)).rejects.toThrow(/time is to come/);
  });
});
