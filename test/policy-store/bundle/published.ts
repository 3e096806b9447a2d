/** Folders of bundles for tests, as `verdict bundle push` makes them. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  BundlePublisher,
  type Publication,
  type PublisherOptions,
} from '../../../src/policy-store/bundle/bundle-publisher.js';
import { FileTransport } from '../../../src/policy-store/bundle/file-transport.js';
import type { PolicySetFiles } from '../../../src/policy-store/policy-set-files.js';
import { idModel } from '../../models.js';
import { temporaryDirectory } from '../folders.js';

/** A set with one rule, in which `subject` may read `data`. */
export function setOf(subject: string, name = 'acl', more: Record<string, string> = {}): PolicySetFiles {
  const texts = { 'model.conf': idModel, 'rules.csv': `p, ${subject}, data, read\n`, ...more };
  const files = Object.entries(texts).map(([path, text]) => ({ path, bytes: Buffer.from(text) }));
  return { name, files: files.sort((a, b) => (a.path < b.path ? -1 : 1)) };
}

export function publicationOf(set: PolicySetFiles): Publication {
  return { kind: 'files', set, about: { created: '2026-03-03T10:00:00.000Z', gitCommit: 'a'.repeat(40) } };
}

export interface BundleFolder {
  readonly path: string;
  readonly transport: FileTransport;
  publisher(options?: Partial<PublisherOptions>): BundlePublisher;
  /** The address of what is published of a set, by its path in the folder. */
  addressOf(set: string): string;
}

/** @param options of all its publishers; by default they sign nothing, and their indexes live an hour */
export function bundleFolder(options: Partial<PublisherOptions> = {}): BundleFolder {
  const path = join(temporaryDirectory(), 'bundles');
  mkdirSync(path);
  const transport = new FileTransport(path);
  return {
    path,
    transport,
    publisher: (own = {}) =>
      new BundlePublisher({ transport, lifetimeMs: 3_600_000, now: Date.now, ...options, ...own }),
    addressOf: (set) => {
      const read = JSON.parse(readFileSync(join(path, 'index.json'), 'utf8'));
      const index = read.payload === undefined ? read : JSON.parse(Buffer.from(read.payload, 'base64url').toString());
      return index.sets.find((entry: { set: string }) => entry.set === set).address;
    },
  };
}
