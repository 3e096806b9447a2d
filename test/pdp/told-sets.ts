/** Policy sets of one rule each, from a source that tells what a test has it tell. */
import { vi } from 'vitest';
import { FreshSets } from '../../src/pdp/fresh-sets.js';
import type { PolicySetFiles } from '../../src/policy-store/policy-set-files.js';
import type { PolicyStore } from '../../src/policy-store/policy-store.js';
import type { PolicyStoreOptions } from '../../src/policy-store/policy-store-options.js';
import { idModel } from '../models.js';
import { startedStore } from '../policy-store/store.js';
import { ToldSource } from '../policy-store/told-source.js';

/** A set in which the subject named after the revision may read: `r7` at revision 7. */
export function setAt(revision: number, name = 'acl'): PolicySetFiles {
  const texts = { 'model.conf': idModel, 'rules.csv': `p, r${revision}, data, read\n` };
  return { name, files: Object.entries(texts).map(([path, text]) => ({ path, bytes: Buffer.from(text) })) };
}

export async function startedFreshSets(options: Partial<PolicyStoreOptions> = {}) {
  const source = new ToldSource();
  source.confirmedAt = Date.now();
  const { store } = await startedStore('', { source, ...options });
  const offer = (revision: number | undefined, name?: string) => source.offer(setAt(revision ?? 0, name), revision);
  return { source, store, offer, fresh: new FreshSets(store) };
}

/** Requests wait as long as it takes on a machine that is busy, not for a tenth of a second. */
export function waitLonger(store: PolicyStore) {
  const until = store.until.bind(store);
  return vi.spyOn(store, 'until').mockImplementation((holds) => until(holds, 60_000));
}
