import type { StoredGroup } from './group-text.js';

/** What a row keeps of a group's text and of its salts. */
export interface CodedGroup {
  readonly records: string | Buffer;
  /** 16 bytes a record (proof/group-hashes.ts); null where the group was committed without. */
  readonly salts: Buffer | null;
}

/** A row as it is read, as far as its text is concerned. `salts` may be left out where nobody asks for them. */
export interface CodedRow {
  readonly first: number;
  readonly count: number;
  readonly records: string | Buffer;
  readonly salts?: Buffer | null;
}

/** A group as it was before it was coded. Of one that cannot be decrypted the text is empty, and the salts are null. */
export interface DecodedGroup extends StoredGroup {
  readonly count: number;
  readonly salts: Buffer | null;
}

/**
 * How a store writes down the text of a group and the salts of its records. Whatever reads or writes the columns `records`
 * and `salts` of a stored group asks the coding of the file, so that nothing else knows what stands in them.
 *
 *     const { records, salts } = coding.encode(first, text, salts, count);
 *     const { records, salts } = coding.decode(row);
 */
export interface GroupCoding {
  /** Why nothing of it can be decoded, which all methods throw; undefined as a rule. */
  readonly locked: Error | undefined;
  /** True if the columns hold the text itself, so that SQL can look for something in it. */
  readonly isPlain: boolean;
  /**
   * @param first the sequence of the group's first record
   * @param text group-text.ts
   */
  encode(first: number, text: string, salts: Buffer | undefined, count: number): CodedGroup;
  decode(row: CodedRow): DecodedGroup;
  /** The keys of an index (record-keys.ts), `keyBytes` each, as this file has them. */
  maskKeys(keys: Buffer): Buffer;
  /** Says whose `maskKeys` give the same; undefined where keys stay as they are. */
  readonly keyedBy: string | undefined;
  /** How a name stands in the counts of decisions: always the same for the same. */
  hideName(name: string): string;
  showName(hidden: string): string;
}

/** The text and the salts as they are. */
export const plainCoding: GroupCoding = {
  isPlain: true,
  locked: undefined,
  keyedBy: undefined,
  maskKeys: (keys) => keys,
  hideName: (name) => name,
  showName: (hidden) => hidden,
  encode: (_first, text, salts) => ({ records: text, salts: salts ?? null }),
  // Handed on as it is: that a damaged row has something else than a text is for its reader to find.
  decode: ({ first, count, records, salts = null }) => ({ first, count, records: records as string, salts }),
};

/** Of a file that is encrypted and cannot be decrypted: its structure can be read all the same. */
export function lockedCoding(locked: Error): GroupCoding {
  const refuse = (): never => {
    throw locked;
  };
  return {
    locked,
    isPlain: false,
    keyedBy: undefined,
    encode: refuse,
    decode: refuse,
    maskKeys: refuse,
    hideName: refuse,
    showName: refuse,
  };
}
