/** Forms of what the manifest and the index of bundles share. */
import { parseRfc3339 } from '../../core/rfc3339.js';
import type { JsonMembers } from './json-members.js';

/** The one version of manifest and index that there is. */
export const bundleFormat = 1;

const setName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const digest = /^sha256:[0-9a-f]{64}$/;

export function requireFormat(members: JsonMembers, refuse: (message: string) => Error): void {
  const found = members.integer('format', 1);
  if (found !== bundleFormat) throw refuse(`it is of format ${found}; this version of Verdict reads ${bundleFormat}`);
}

export function readSetName(members: JsonMembers): string {
  return members.text('set', setName, 'the name of a policy set');
}

export function readRevisionNumber(members: JsonMembers): number {
  return members.integer('revision', 1);
}

export function readDigest(members: JsonMembers, name: string): string {
  return members.text(name, digest, 'sha256: and 64 hexadecimal digits');
}

/** A time as it is written, after it was read once. */
export function readTime(members: JsonMembers, name: string, refuse: (message: string) => Error): string {
  const text = members.text(name, /^/, 'a time');
  if (parseRfc3339(text) === undefined) throw refuse(`${name} is not a time such as 2026-03-03T10:00:00Z`);
  return text;
}
