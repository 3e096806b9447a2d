/** All that is kept about a person, from a service or from its database, a line at a time. */
import type { AuditEvent, AuditPage } from '../../audit/audit-event.js';
import type { DecisionRecord } from '../../decision-log/decision-record.js';
import type { HoldDescription } from '../../decision-log/holds/hold.js';
import type { LogGap } from '../../decision-log/log-gap.js';
import { UsageError } from '../exit-code.js';
import { listHolds } from './hold-keeper.js';
import type { DescribedKey } from './key-keeper.js';
import { linesOf } from './lines.js';
import { askServer, type ServerOptions, ServerRefusal, streamFromServer, withQuery } from './server.js';

/** A line of an export about a person; `kind` says what it is. */
export type PersonLine =
  | { readonly kind: 'decision'; readonly relation: 'about' | 'names'; readonly record: DecisionRecord }
  /** Decisions that are missing there: some of them may have been about the person. */
  | { readonly kind: 'gap'; readonly gap: LogGap }
  | { readonly kind: 'audit_event'; readonly event: AuditEvent }
  | { readonly kind: 'role_link'; readonly policySet: string; readonly link: LinkOfData }
  | { readonly kind: 'entity'; readonly policySet: string; readonly entity: EntityOfData }
  | { readonly kind: 'api_key'; readonly key: DescribedKey }
  | { readonly kind: 'hold'; readonly hold: HoldDescription }
  | NotSearched
  /** The last line: how many of each kind there are. An export without it was cut off. */
  | { readonly kind: 'end'; readonly about: string; readonly counts: Readonly<Record<string, number>> };

/** What the export could not look at. */
export interface NotSearched {
  readonly kind: 'not_searched';
  readonly what: string;
  readonly why: string;
}

/** A store that cannot be read, while others can. */
export class UnreadableStore extends UsageError {}

/** Where it is looked. A store that cannot be read throws UnreadableStore, or ServerRefusal. */
export interface PersonStores {
  /** NDJSON, in pieces, of the decisions that are about the person, or name it; and of gaps. */
  decisions(id: string): AsyncIterable<string | Uint8Array>;
  /** A page of audit events that name the person. */
  auditEvents(id: string, cursor: string | undefined): Promise<AuditPage>;
  /** The policy sets that may have live data. */
  policySets(): Promise<readonly string[]>;
  /** All role links of a set. */
  roles(policySet: string): AsyncIterable<LinkOfData>;
  /** All entities of a set. */
  entities(policySet: string): AsyncIterable<EntityOfData>;
  keys(): Promise<readonly DescribedKey[]>;
  holds(): Promise<readonly HoldDescription[]>;
  close(): Promise<void>;
}

/** An entry of live data, as `/v1/policy-sets/{set}/roles` and `/entities` have it. */
interface Listed {
  readonly addedBy: string;
  readonly addedAt: string;
  readonly revision: number;
}

export interface LinkOfData extends Listed {
  readonly role: readonly string[];
}

export interface EntityOfData extends Listed {
  readonly type: string;
  readonly id: string;
  readonly attributes: object;
}

/** What no command looks at, and why. */
const notSearched: readonly NotSearched[] = [
  [
    'policy files and the archived versions of policy sets',
    'they are found by `verdict who-can` and a search of their texts',
  ],
  ['earlier live data', 'a removed link or entity is kept as long as a version that had it'],
  ['declared API keys', 'they are in VERDICT_API_KEYS_FILE'],
  ['backups', 'they are copies that the service does not know'],
  ["PostgreSQL's write-ahead log", 'it is the database server that recycles it'],
  ['exports, and other systems that records went to', 'they are not within reach'],
].map(([what, why]) => ({ kind: 'not_searched', what: what!, why: why! }));

/**
 * Finds all that is kept about a person, kind by kind, in constant memory; decisions and audit events the newest first. A store that cannot
 * be read is a line that says so, and the others are looked at all the same.
 *
 * @param onProblem hears of each of those
 */
export async function* findPerson(
  stores: PersonStores,
  id: string,
  onProblem: (line: NotSearched) => void,
): AsyncGenerator<PersonLine> {
  const counts: Record<string, number> = {};
  const parts: readonly (readonly [what: string, lines: () => AsyncIterable<PersonLine>])[] = [
    ['decisions', () => decisionsAbout(stores, id)],
    ['audit events', () => eventsAbout(stores, id)],
    ['live data', () => dataAbout(stores, id)],
    ['API keys', () => keysAbout(stores, id)],
    ['holds', () => holdsAbout(stores, id)],
  ];
  for (const [what, lines] of parts) {
    try {
      for await (const line of lines()) {
        counts[line.kind] = (counts[line.kind] ?? 0) + 1;
        yield line;
      }
    } catch (error) {
      if (!(error instanceof UnreadableStore || error instanceof ServerRefusal)) throw error;
      const missed: NotSearched = { kind: 'not_searched', what, why: error.message };
      onProblem(missed);
      yield missed;
    }
  }
  yield* notSearched;
  yield { kind: 'end', about: id, counts };
}

async function* decisionsAbout(stores: PersonStores, id: string): AsyncGenerator<PersonLine> {
  const { relationTo } = await import('../../decision-log/person.js');
  for await (const line of linesOf(stores.decisions(id))) {
    const read = JSON.parse(line) as DecisionRecord | { readonly gap: LogGap };
    if ('gap' in read) yield { kind: 'gap', gap: read.gap };
    else yield { kind: 'decision', relation: relationTo(read, id) ?? 'names', record: read };
  }
}

async function* eventsAbout(stores: PersonStores, id: string): AsyncGenerator<PersonLine> {
  let cursor: string | undefined;
  do {
    const page = await stores.auditEvents(id, cursor);
    for (const event of page.items) yield { kind: 'audit_event', event };
    cursor = page.nextCursor;
  } while (cursor !== undefined);
}

async function* dataAbout(stores: PersonStores, id: string): AsyncGenerator<PersonLine> {
  const { namesInEntity, namesInRole } = await import('../../policy-store/data/names-in-data.js');
  for (const policySet of await stores.policySets()) {
    for await (const link of stores.roles(policySet)) {
      if (namesInRole(link.role, link.addedBy, id)) yield { kind: 'role_link', policySet, link };
    }
    for await (const entity of stores.entities(policySet)) {
      if (namesInEntity(entity, entity.addedBy, id)) yield { kind: 'entity', policySet, entity };
    }
  }
}

async function* keysAbout(stores: PersonStores, id: string): AsyncGenerator<PersonLine> {
  for (const key of await stores.keys()) if (key.name === id || key.owner === id) yield { kind: 'api_key', key };
}

async function* holdsAbout(stores: PersonStores, id: string): AsyncGenerator<PersonLine> {
  const { namesInText } = await import('../../audit/about-event.js');
  for (const hold of await stores.holds())
    if ([hold.by, hold.releasedBy, hold.reason].some((text) => namesInText(text, id))) yield { kind: 'hold', hold };
}

/** A service, for callers with the scopes `decisions:read`, `policies:read`, `data:read`, `keys:admin` and `decisions:erase`. */
export function personStoresOfServer(server: ServerOptions): PersonStores {
  const get = (path: string, query: object = {}) => askServer(server, 'GET', withQuery(path, query));
  async function* all<Item>(path: string): AsyncGenerator<Item> {
    let cursor: string | undefined;
    do {
      const query = { limit: pageSize, ...(cursor !== undefined && { cursor }) };
      const page = (await get(path, query)) as { items: readonly Item[]; nextCursor?: string };
      yield* page.items;
      cursor = page.nextCursor;
    } while (cursor !== undefined);
  }
  const ofSet = (set: string, list: string) => `/v1/policy-sets/${encodeURIComponent(set)}/${list}`;
  return {
    decisions: (about) => streamFromServer(server, withQuery('/v1/decisions/export', { about })),
    auditEvents: (about, cursor) =>
      get('/v1/audit-events', {
        about,
        limit: pageSize,
        ...(cursor !== undefined && { cursor }),
      }) as Promise<AuditPage>,
    policySets: async () =>
      ((await get('/v1/policy-sets')) as { items: readonly { name: string }[] }).items.map(({ name }) => name),
    roles: (set) => all(ofSet(set, 'roles')),
    entities: (set) => all(ofSet(set, 'entities')),
    keys: async () => ((await get('/v1/api-keys')) as { items: readonly DescribedKey[] }).items,
    holds: () => listHolds((path) => askServer(server, 'GET', path)),
    close: async () => undefined,
  };
}

const pageSize = 1_000;
