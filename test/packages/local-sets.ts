/** The policies of this repository and sets with live data and left-out attributes, all open to decisions in a client's process. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { liveSets } from '../api/live-data-sets.js';
import type { PolicyFiles } from '../http/service.js';

const policies = fileURLToPath(new URL('../../policies/', import.meta.url));

function opened(files: Record<string, string>): PolicyFiles {
  const sets = new Set(Object.keys(files).map((path) => path.split('/')[0]!));
  const manifests = [...sets].map((set) => {
    const path = `${set}/policy-set.yaml`;
    return [path, `${files[path] ?? ''}\nlocal: allowed\n`];
  });
  return { ...files, ...Object.fromEntries(manifests) };
}

const ofRepository = Object.fromEntries(
  readdirSync(policies, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(conf|csv|yaml)$/.test(entry.name))
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(policies.length), readFileSync(path, 'utf8')];
    }),
);

export const localSets: PolicyFiles = {
  ...opened({ ...ofRepository, ...liveSets }),
  'partly/model.conf': liveSets['plain/model.conf']!,
  'partly/rules.csv': 'p, editor, article, edit\ng, ann, editor\n',
  'partly/policy-set.yaml': 'local: { omit: [user.salary] }\ndata: { roles: [g], entities: [robot] }\n',
  'partly/entities.yaml': '- { type: user, id: ann, attributes: { salary: 9000 } }\n',
};

export const localScopes = [
  'bundles:read',
  'decide',
  'explain',
  'decisions:read',
  'data:write',
  'policies:read',
] as const;
