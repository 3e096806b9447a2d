import { Flag, Integer, OneOf, Parts, Text, Time } from '../answers/members.js';
import type { PolicyProblem } from '../core/problem.js';

/** What is wrong with the files of a policy set, and where. */
export class PolicySetProblem implements PolicyProblem {
  @OneOf(['error', 'warning'])
  readonly severity!: 'error' | 'warning';

  @Text({ description: 'Stable, in snake case.' })
  readonly code!: string;

  @Text()
  readonly message!: string;

  @Text()
  readonly file!: string;

  @Integer({ description: 'From 1.' })
  readonly line!: number;

  @Integer({ description: 'From 1, in UTF-16 code units, as editors count them.' })
  readonly column!: number;

  @Text({ optional: true })
  readonly hint?: string;
}

/** The state of a policy set, for operators. */
export class PolicySetStatus {
  @Text()
  readonly name!: string;

  @OneOf(['active', 'stale', 'failed'], {
    description:
      '`active`: what its source holds is served, or what was pinned. `stale`: what its source holds cannot be loaded, an earlier ' +
      'version is served. `failed`: nothing is served.',
  })
  readonly state!: 'active' | 'stale' | 'failed';

  @Time({ description: 'When it came into this state, or to this version if that was later.' })
  readonly since!: string;

  @Text({ optional: true, description: 'The version that is served, if one is.' })
  readonly version!: string | undefined;

  @Integer({
    optional: true,
    description:
      'The number of what is served, which rises with every change of its files, its live data or what it is rolled back to. ' +
      'The files of a directory have none.',
  })
  readonly revision!: number | undefined;

  @Time({ optional: true, description: 'Since when this process serves that version.' })
  readonly servedSince!: string | undefined;

  @OneOf(['verdict', 'casbin'], { optional: true })
  readonly engine!: 'verdict' | 'casbin' | undefined;

  @Text({ optional: true })
  readonly description!: string | undefined;

  @Text({ optional: true, description: 'The version of the files that its source holds, where they could be read.' })
  readonly folderVersion!: string | undefined;

  @Flag({ description: "Whether a rollback holds `version` until the source's version changes." })
  readonly pinned!: boolean;

  @Parts(() => PolicySetProblem, {
    description: 'Why what the source holds is not served, and warnings about what is: the first hundred of them.',
  })
  readonly problems!: readonly PolicyProblem[];

  @Integer({ description: 'How many problems there are.' })
  readonly problemCount!: number;
}

export class PolicySetList {
  @Parts(() => PolicySetStatus)
  readonly items!: readonly PolicySetStatus[];
}
