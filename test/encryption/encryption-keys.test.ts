import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  EncryptionKeys,
  MissingEncryptionKey,
  newKey,
  WrongWrappedKey,
  whyNotEncryptionKeys,
} from '../../src/encryption/encryption-keys.js';

const text = (): string => randomBytes(32).toString('base64');
const [older, newer] = [text(), text()];

describe('the keys of an operator', () => {
  it('are read with commas, blanks and line feeds between them, the newest first', () => {
    expect(whyNotEncryptionKeys(older)).toBeUndefined();
    const { fingerprints } = EncryptionKeys.of(`${newer}\n${older}\n`);
    expect(fingerprints).toEqual([...EncryptionKeys.of(newer).fingerprints, ...EncryptionKeys.of(older).fingerprints]);
    expect(EncryptionKeys.of(`${newer}, ${older}`).fingerprints).toEqual(fingerprints);
    for (const fingerprint of fingerprints) expect(fingerprint).toMatch(/^[0-9a-f]{16}$/);
  });

  it.each([
    ['', 'must be keys of 32 random bytes in base64'],
    [' , ', 'must be keys of 32 random bytes in base64'],
    ['secret', 'its key is not'],
    [randomBytes(31).toString('base64'), 'its key is not'],
    [randomBytes(33).toString('base64'), 'its key is not'],
    [randomBytes(32).toString('hex'), 'its key is not'],
    [`${older},${newer}=`, 'its key 2 of 2 is not'],
    [`${older} ${Buffer.alloc(32).toString('base64')}`, 'its key 2 of 2 is one byte repeated'],
    [`${older} ${newer} ${older}`, 'its key 3 of 3 is its key 1'],
  ])('are refused where one is not: %s', (keys, why) => {
    expect(whyNotEncryptionKeys(keys)).toContain(why);
    // It is no place for a secret.
    for (const key of [older, newer]) expect(whyNotEncryptionKeys(keys)).not.toContain(key);
    expect(() => EncryptionKeys.of(keys)).toThrow(`VERDICT_ENCRYPTION_KEY ${whyNotEncryptionKeys(keys)}`);
  });

  it('the newest wraps, all unwrap, and one that is not there is named', () => {
    const key = newKey();
    const wrapped = EncryptionKeys.of(older).wrap(key, 'a test');
    const both = EncryptionKeys.of(`${newer},${older}`);
    expect(both.unwrap(wrapped, 'a test', 'it')).toEqual(key);
    expect(both.isNewest(wrapped)).toBe(false);
    const again = both.wrap(key, 'a test');
    expect(both.isNewest(again)).toBe(true);
    expect(again).not.toEqual(both.wrap(key, 'a test'));
    const [fingerprint] = EncryptionKeys.of(newer).fingerprints;
    for (const [keys, has] of [
      [EncryptionKeys.none, 'is not set'],
      [EncryptionKeys.of(older), `has ${EncryptionKeys.of(older).fingerprints[0]}`],
    ] as const) {
      expect(() => keys.unwrap(again, 'a test', 'the file')).toThrow(MissingEncryptionKey);
      expect(() => keys.unwrap(again, 'a test', 'the file')).toThrow(
        `the file is encrypted, and the key ${fingerprint} is needed to read it: VERDICT_ENCRYPTION_KEY ${has}`,
      );
    }
  });

  it('a wrapped key is refused with any single bit changed, cut off, or for another use', () => {
    const keys = EncryptionKeys.of(older);
    const wrapped = keys.wrap(newKey(), 'a test');
    for (let bit = 0; bit < wrapped.length * 8; bit++) {
      const changed = Buffer.from(wrapped);
      changed[bit >>> 3]! ^= 1 << (bit & 7);
      // Bytes 1 to 8 say which key is needed.
      const error = bit >= 8 && bit < 72 ? MissingEncryptionKey : WrongWrappedKey;
      expect(() => keys.unwrap(changed, 'a test', 'it'), `bit ${bit}`).toThrow(error);
    }
    expect(() => keys.unwrap(wrapped.subarray(1), 'a test', 'it')).toThrow(WrongWrappedKey);
    expect(() => keys.unwrap(wrapped, 'another', 'it')).toThrow(WrongWrappedKey);
  });
});
