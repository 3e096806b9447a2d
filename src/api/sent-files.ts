import type { PolicyFile, PolicySetFiles } from '../policy-store/policy-set-files.js';

/** The files of a body that names their texts by their paths. */
export function filesOf(name: string, files: Readonly<Record<string, string>>): PolicySetFiles {
  const sent = Object.entries(files)
    .map(([path, text]): PolicyFile => ({ path, bytes: Buffer.from(text) }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  return Object.freeze({ name, files: Object.freeze(sent) });
}
