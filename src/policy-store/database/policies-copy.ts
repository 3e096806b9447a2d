import type { Semantics } from '../../core/semantics.js';
import type { OfferedSet } from '../policy-source.js';
import type { CopiedKind } from '../spool-copy.js';
import { packFiles, unpackFiles } from './packed-files.js';

/** A set as it was served under a revision of the database. */
export type CopiedContent = Pick<OfferedSet, 'set' | 'pinnedOver' | 'semantics'> & { readonly revision: number };

interface Header {
  readonly revision: number;
  readonly pinnedOver?: string | undefined;
  readonly semantics?: Semantics | undefined;
}

/** The files of sets that a database source had last, in a `SpoolCopy`. */
export const copiedPolicies: CopiedKind<CopiedContent> = Object.freeze({
  format: 'policies',
  title: 'policy sets',
  suffix: 'set',
  pack: async ({ set, revision, pinnedOver, semantics }: CopiedContent) => {
    const header: Header = { revision, pinnedOver, semantics };
    return { name: set.name, header, body: (await packFiles(set)).content };
  },
  unpack: async (name: string, header: object, body: Buffer): Promise<CopiedContent> => {
    // Sound: what was written is what `pack` gave, or its digest would differ.
    const { revision, pinnedOver, semantics } = header as Header;
    return { set: await unpackFiles(name, body), revision, pinnedOver, semantics };
  },
});
