import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type ArchiveLimits, packArchive, readArchive } from '../../../src/policy-store/bundle/bundle-archive.js';

const limits: ArchiveLimits = { maxBytes: 1024, maxFiles: 3 };
const file = (path: string, text = 'p, alice, data, read\n') => ({ path, bytes: Buffer.from(text) });
const set = [file('rules.csv'), file('model.conf', 'm'.repeat(512)), file('tests/roles.yaml', '')];

/** The archive of one file with some bytes of its header replaced and its checksum made right again. */
function withHeader(offset: number, bytes: string | Buffer, path = 'rules.csv'): Buffer {
  const archive = packArchive([file(path)]);
  Buffer.from(bytes as string, 'latin1').copy(archive, offset);
  archive.fill(' ', 148, 156);
  const sum = archive.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return archive;
}

const refusal = (code: string) => expect.objectContaining({ code });

describe('the archive of a bundle (P1)', () => {
  it('gives back the files in the order of their paths', () => {
    const read = readArchive(packArchive(set), limits);
    expect(read.map(({ path, bytes }) => [path, Buffer.from(bytes).toString()])).toEqual([
      ['model.conf', 'm'.repeat(512)],
      ['rules.csv', 'p, alice, data, read\n'],
      ['tests/roles.yaml', ''],
    ]);
  });

  it('is the same byte for byte in whatever order the files come', () => {
    expect(packArchive(set.toReversed()).equals(packArchive(set))).toBe(true);
    expect(createHash('sha256').update(packArchive([])).digest('hex')).toBe(
      createHash('sha256').update(Buffer.alloc(1024)).digest('hex'),
    );
  });

  it('is listed and unpacked by tar', () => {
    const input = packArchive(set);
    expect(execFileSync('tar', ['-tf', '-'], { input, encoding: 'utf8' })).toBe(
      'model.conf\nrules.csv\ntests/roles.yaml\n',
    );
    expect(execFileSync('tar', ['-xOf', '-', 'rules.csv'], { input, encoding: 'utf8' })).toBe('p, alice, data, read\n');
  });

  it('is refused wherever it is cut off', () => {
    const archive = packArchive(set);
    for (let length = 0; length < archive.length; length += 1) {
      expect(() => readArchive(archive.subarray(0, length), limits), `${length}`).toThrow(refusal('archive-truncated'));
    }
  });

  it.each(['/etc/passwd', '../rules.csv', 'tests/../rules.csv', './rules.csv', 'a//b', 'a\\b', 'c:rules.csv', 'a\nb'])(
    'is neither written nor read with the path %j',
    (path) => {
      expect(() => packArchive([file(path)])).toThrow(refusal('archive-path'));
      const name = Buffer.alloc(100);
      name.write(path);
      expect(() => readArchive(withHeader(0, name), limits)).toThrow(refusal('archive-path'));
    },
  );

  it('is written with a path of 100 bytes and not of 101', () => {
    const path = 'r'.repeat(100);
    expect(readArchive(packArchive([file(path)]), limits)[0]?.path).toBe(path);
    expect(() => packArchive([file(`${path}r`)])).toThrow(refusal('archive-path'));
  });

  it('is not written with half of a character in a path, nor read with a path that is not UTF-8', () => {
    expect(() => packArchive([file('\ud800.csv')])).toThrow(refusal('archive-path'));
    expect(() => readArchive(withHeader(0, '\xff'), limits)).toThrow(refusal('archive-path'));
  });

  it('holds a path once', () => {
    expect(() => packArchive([file('rules.csv'), file('rules.csv')])).toThrow(refusal('archive-order'));
    const one = packArchive([file('rules.csv')]).subarray(0, 1024);
    const twice = Buffer.concat([one, one, Buffer.alloc(1024)]);
    expect(() => readArchive(twice, limits)).toThrow(refusal('archive-order'));
  });

  it.each(['1', '2', '3', '4', '5', '6', 'x', 'g', 'L', '\0'])('is refused with an entry of the kind %j', (kind) => {
    expect(() => readArchive(withHeader(156, kind), limits)).toThrow(refusal('archive-kind'));
  });

  it.each([
    ['another mode', 100, '0004755'],
    ['a time', 136, '00000000001'],
    ['an owner', 108, '0000001'],
    ['a link name', 157, '/etc/passwd'],
    ['a prefix', 345, '..'],
    ['a size that is not octal', 124, '-0000000001'],
    ['a name behind the name', 50, 'x'],
  ])('is refused with %s', (_, offset, bytes) => {
    expect(() => readArchive(withHeader(offset, bytes), limits)).toThrow(refusal('archive-not-canonical'));
  });

  it('is refused with a byte behind its end or in what fills a block up', () => {
    const archive = packArchive(set);
    expect(() => readArchive(Buffer.concat([archive, Buffer.alloc(1)]), limits)).toThrow(
      refusal('archive-not-canonical'),
    );
    archive[archive.length - 1] = 1;
    expect(() => readArchive(archive, limits)).toThrow(refusal('archive-not-canonical'));
    const padded = packArchive([file('rules.csv')]);
    padded[1023] = 1;
    expect(() => readArchive(padded, limits)).toThrow(refusal('archive-not-canonical'));
  });

  it('is read up to its limits of bytes and files and no further', () => {
    expect(readArchive(packArchive([file('a.csv', 'x'.repeat(1024))]), limits)).toHaveLength(1);
    expect(() => readArchive(packArchive([file('a.csv', 'x'.repeat(1025))]), limits)).toThrow(
      refusal('archive-too-large'),
    );
    const four = ['a', 'b', 'c', 'd'].map((path) => file(path));
    expect(readArchive(packArchive(four.slice(1)), limits)).toHaveLength(3);
    expect(() => readArchive(packArchive(four), limits)).toThrow(refusal('archive-too-many-files'));
  });

  it('is refused at a size that it only claims, before anything of that size is made', () => {
    expect(() => readArchive(withHeader(124, '77777777777'), limits)).toThrow(refusal('archive-too-large'));
  });
});
