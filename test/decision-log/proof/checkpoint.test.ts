import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { openCheckpoint, readCheckpoint, signCheckpoint } from '../../../src/decision-log/proof/checkpoint.js';
import { sha256Of } from '../../../src/decision-log/proof/merkle-tree.js';
import { noteSigner, openNote, readNoteKey, signNote } from '../../../src/decision-log/proof/signed-note.js';

const signer = noteSigner('verdict-replica', generateKeyPairSync('ed25519').privateKey);
const other = noteSigner('verdict-replica', generateKeyPairSync('ed25519').privateKey);
const checkpoint = {
  tree: '0f'.repeat(16),
  size: 2_048,
  root: sha256Of(Buffer.from('root')),
  sequence: 98_765,
  time: Date.UTC(2026, 10, 29, 12),
  isAnchor: false,
};

describe('signed notes', () => {
  it('verifies the note of the specification with its key, and its key is read', () => {
    // https://c2sp.org/signed-note: the example of the Go implementation (golang.org/x/mod/sumdb/note).
    const key = readNoteKey('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW')!;
    const text =
      'If you think cryptography is the answer to your problem,\n' + "then you don't know what your problem is.\n";
    const signature = 'x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=';
    const note = `${text}\n\u2014 PeterNeumann ${signature}\n`;
    expect(openNote(note, [key])).toEqual({ text, signers: [key] });
  });

  it('passes over signatures of keys that it does not know, and refuses a wrong one of a key that it knows', () => {
    const text = 'a\nb\n';
    const note = signNote(text, [other, signer]);
    expect(openNote(note, [signer])?.signers.map(({ id }) => id)).toEqual([signer.id]);
    expect(openNote(note, [])?.signers).toEqual([]);
    expect(openNote(note.replace('a\nb', 'a\nc'), [signer])).toBeUndefined();
  });

  it('reads no key whose id is not its own', () => {
    expect(readNoteKey(signer.text)?.id).toEqual(signer.id);
    expect(readNoteKey(signer.text.replace(/\+[0-9a-f]{8}\+/, '+00000000+'))).toBeUndefined();
    expect(readNoteKey('verdict')).toBeUndefined();
  });
});

describe('a checkpoint', () => {
  it('is a note with the tree, its size and root, the sequence and the time', () => {
    const note = signCheckpoint(checkpoint, signer);
    expect(note.split('\n').slice(0, 6)).toEqual([
      `verdict/${checkpoint.tree}`,
      '2048',
      checkpoint.root.toString('base64'),
      'sequence 98765',
      'time 2026-11-29T12:00:00.000Z',
      '',
    ]);
    expect(openCheckpoint(note, [other, signer])).toEqual(checkpoint);
    expect(openCheckpoint(signCheckpoint({ ...checkpoint, isAnchor: true }, signer), [signer])?.isAnchor).toBe(true);
    expect(openCheckpoint(note, [other])).toBeUndefined();
  });

  it('is refused with any single bit changed', () => {
    const bytes = Buffer.from(signCheckpoint(checkpoint, signer));
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(openCheckpoint(changed.toString('latin1'), [signer])).toBeUndefined();
      expect(openCheckpoint(changed.toString(), [signer])).toBeUndefined();
    }
  });

  it('has one form: no other number, time or root is read', () => {
    const text = signCheckpoint(checkpoint, signer).split('\n\n')[0]!;
    expect(readCheckpoint(`${text}\n`)).toEqual(checkpoint);
    for (const [from, to] of [
      ['2048', '02048'],
      ['12:00:00.000Z', '12:00:00Z'],
      ['2026-11-29', '2026-02-30'],
      ['sequence 98765', 'sequence -1'],
    ] as const) {
      expect(readCheckpoint(`${text.replace(from, to)}\n`)).toBeUndefined();
    }
    expect(readCheckpoint(`${text}\nmore\n`)).toBeUndefined();
  });
});
