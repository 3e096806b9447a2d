import type { PolicyHead } from './policy-repository.js';

/** The columns of a head, without the files. */
export const headColumns = 'name, revision, version, digest, pinned, git_commit';

/** A row of `policy_head`; `version` is null where the set was removed. */
export interface HeadRow {
  readonly name: string;
  readonly revision: number;
  readonly version: string | null;
  readonly digest: string | null;
  readonly pinned: string | null;
  readonly git_commit: string | null;
}

/** The head in a row of a set that is there. */
export function toHead({ name, revision, version, digest, pinned, git_commit }: HeadRow): PolicyHead {
  return {
    name,
    revision,
    version: version!,
    digest: digest!,
    ...(pinned !== null && { pinned }),
    ...(git_commit !== null && { gitCommit: git_commit }),
  };
}
