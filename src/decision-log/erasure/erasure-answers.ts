/** What the API says of erasures. None says whom it is about. */
import { Integer, OneOf, Part, Parts, Text, Texts, Time } from '../../answers/members.js';
import { type ErasedKind, erasedKinds, type StoredErasureOrder } from './erasure-orders.js';

export class ErasedCounts {
  @Integer({
    description: 'Records about the person: its id, all attributes, rule values, messages and obligations go.',
  })
  readonly about!: number;

  @Integer({ description: 'Other records that named the person: each value that is equal to the id goes.' })
  readonly named!: number;

  @Integer({ description: 'Records that stay as they are, since they are held.' })
  readonly held!: number;

  @Integer({ description: 'Records whose text is damaged, so that nobody can say whom they name.' })
  readonly unreadable!: number;
}

export const erasureStates = ['running', 'finished'] as const;

export class Erasure {
  @Text()
  readonly id!: string;

  @OneOf(erasedKinds)
  readonly kind!: ErasedKind;

  @Text()
  readonly reason!: string;

  @Text({ description: 'The caller who ordered it.' })
  readonly orderedBy!: string;

  @Time({
    description: 'It covers the records of all decisions up to this time, those that come to the log later too.',
  })
  readonly orderedAt!: string;

  @OneOf(erasureStates)
  readonly state!: (typeof erasureStates)[number];

  @Time({ optional: true })
  readonly finishedAt?: string;

  @Part(() => ErasedCounts)
  readonly records!: ErasedCounts;

  @Texts({ optional: true, description: 'The instances that have not carried it out yet, with PostgreSQL.' })
  readonly waitingFor?: readonly string[];
}

export class ErasurePage {
  @Parts(() => Erasure, { description: 'Newest first.' })
  readonly items!: readonly Erasure[];

  @Text({ optional: true, description: 'Missing on the last page.' })
  readonly nextCursor?: string;
}

/** Where the person is that no erasure touches. */
export const untouchedPlaces = [
  'policy_files',
  'archived_versions',
  'live_data',
  'policy_candidates',
  'audit_events',
  'backups',
  'exports',
  'sinks',
  'client_disks',
  'damaged_files',
  'postgres_wal',
  'keyed_hashes',
  'holds',
  'erasures',
  'api_keys',
  'replica_spools',
] as const;

export class UntouchedPlace {
  @OneOf(untouchedPlaces)
  readonly place!: (typeof untouchedPlaces)[number];

  @Text({ description: 'What to do about it.' })
  readonly note!: string;

  @Texts({ optional: true, description: 'Given where it was looked at: the policy sets that name the person.' })
  readonly found?: readonly string[];
}

export class ErasurePreview {
  @Part(() => ErasedCounts, { description: 'The records that would be rewritten.' })
  readonly records!: ErasedCounts;

  @Parts(() => UntouchedPlace, { description: 'What is listed and not touched.' })
  readonly untouched!: readonly UntouchedPlace[];
}

export function describeErasure(order: StoredErasureOrder): Erasure {
  const { id, kind, reason, by, time, finished, about, named, held, unreadable, waitingFor } = order;
  return {
    id,
    kind,
    reason,
    orderedBy: by,
    orderedAt: new Date(time).toISOString(),
    state: finished === null ? 'running' : 'finished',
    ...(finished !== null && { finishedAt: new Date(finished).toISOString() }),
    records: { about, named, held, unreadable },
    ...(waitingFor !== undefined && { waitingFor }),
  };
}

const notes: { readonly [place in (typeof untouchedPlaces)[number]]: string } = {
  policy_files: 'Rules and entities of policy sets that name the person: change the files.',
  archived_versions: 'Versions of policy sets that served are kept as long as a record names them.',
  live_data: 'Role links and entities of the person: remove them by `verdict data remove`.',
  policy_candidates: 'Decisions that differ are kept with a candidate: drop it, or set it again.',
  audit_events: 'Who read what: the filters of a read can name the person. They go with their own retention.',
  backups: 'Copies of the database and of the log. A restored one is erased again where the order is in it.',
  exports: 'What was exported.',
  sinks: 'What was sent to other systems.',
  client_disks: 'What clients keep of their questions and answers.',
  damaged_files: 'Files that were set aside: `….damaged-…` and `….other-…` beside the log.',
  postgres_wal: "PostgreSQL's WAL and its archive, and freed pages until they are written over.",
  keyed_hashes: 'What `decisionLog.hash` hashes: the id is not found in it.',
  holds: 'Reasons of holds, and who made and released them.',
  erasures: 'Who ordered an erasure.',
  api_keys: 'Names and owners of API keys.',
  replica_spools: 'Journals of replicas that are stopped or retired, until they start again.',
};

/** @param found policy sets that name the person in their files, and in their live data */
export function untouched(found: {
  readonly files: readonly string[] | undefined;
  readonly data: readonly string[] | undefined;
}): UntouchedPlace[] {
  return untouchedPlaces.map((place) => {
    const sets = place === 'policy_files' ? found.files : place === 'live_data' ? found.data : undefined;
    return { place, note: notes[place], ...(sets !== undefined && { found: sets }) };
  });
}
