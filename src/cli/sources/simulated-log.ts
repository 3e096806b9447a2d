/** The log that a simulation reads: in a database, of a service, or in an exported file. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { ExportQuery } from '../../decision-log/export-query.js';
import type { GroupsQuery } from '../../decision-log/log-groups.js';
import type { RecordedDecisions } from '../../decision-log/recorded-decisions.js';
import type { Missing, SetContent } from '../../pdp/simulation/messages.js';
import { portionsOfGroups, portionsOfLines } from '../../pdp/simulation/portions.js';
import { RecentContents } from '../../pdp/simulation/recent-contents.js';
import type { SimulationSource } from '../../pdp/simulation/simulation-run.js';
import { UsageError } from '../exit-code.js';
import { type LogSource, logOfServer, unshippedOfServer } from './log-source.js';
import { LiveDataUnread, versionsOfServer } from './policy-versions.js';
import { ServerRefusal, streamFromServer, withQuery } from './server.js';

/** Which decisions are looked at. Times in milliseconds since 1970, `to` excluded. */
export interface LookedAt extends GroupsQuery {
  /** A condition over records. */
  readonly filter: string | undefined;
}

export interface SimulatedLog extends SimulationSource {
  /** The condition that this does not apply itself. */
  readonly filter: string | undefined;
  /** Decisions that it has, about, where that is known. */
  total(): Promise<number | undefined>;
  close(): Promise<void>;
}

/** @param database an SQLite file or a `postgres://` URL */
export async function logInDatabase(database: string, wanted: LookedAt): Promise<SimulatedLog> {
  const { openArchive, openDecisionLog, openLiveData } = await import('./database.js');
  const { ArchivedContents } = await import('../../pdp/simulation/archived-contents.js');
  const { logOfDatabase } = await import('./log-file.js');
  const reader = await openDecisionLog(database);
  const archive = await openArchive(database);
  const data = await openLiveData(database);
  const log = await logOfDatabase(database);
  const contents = new ArchivedContents(wanted.policySet, archive, data);
  return {
    ...common(log, wanted),
    portions: () =>
      wanted.filter === undefined
        ? portionsOfGroups(reader.groups(wanted, 0))
        : shippedLines(unshippedIn(reader, wanted), () => log.export(exportQuery(wanted))),
    version: (version) => contents.get(version),
    close: async () => {
      await log.close();
      await data?.close();
      await archive?.close();
      await reader.close();
    },
  };
}

export function logOfService(url: string, wanted: LookedAt): SimulatedLog {
  const log = logOfServer({ url });
  const versions = versionsOfServer({ url });
  const contents = new RecentContents(contentOf);
  const end = new AbortController();
  const path = withQuery('/v1/decisions/export', exportQuery(wanted));
  return {
    ...common(log, wanted),
    portions: () =>
      shippedLines(unshippedOfServer({ url }, endOf(wanted.to)), () => streamFromServer({ url }, path, {}, end.signal)),
    version: (version) => contents.get(version),
    close: async () => end.abort(),
  };

  async function contentOf(version: string): Promise<SetContent | Missing> {
    try {
      return { files: await versions.files(wanted.policySet, version) };
    } catch (error) {
      if (error instanceof LiveDataUnread) return 'live_data_not_kept';
      if (error instanceof ServerRefusal && error.status === 404) return 'policy_version_not_found';
      throw error;
    }
  }
}

/** @param path NDJSON, as `verdict log export` writes it */
export async function logInFile(path: string, wanted: LookedAt): Promise<SimulatedLog> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${path} cannot be read: ${error.code}`);
  });
  if (found.isDirectory())
    throw new UsageError(`${path} is a folder`, '--file names an export: verdict log export > FILE');
  const file = createReadStream(path, { highWaterMark: 512 * 1024 });
  return {
    filter: wanted.filter,
    portions: () => portionsOfLines(file),
    // A file has no versions.
    version: async () => 'policy_version_not_found',
    total: async () => undefined,
    close: async () => void file.destroy(),
  };
}

function common(log: LogSource, wanted: LookedAt): Pick<SimulatedLog, 'filter' | 'total'> {
  const { policySet } = wanted;
  const times = timesOf(wanted);
  return {
    filter: undefined,
    total: async () => (wanted.filter === undefined ? (await log.stats({ policySet, ...times })).total : undefined),
  };
}

/** Lines of an export that is begun when it is known who has not shipped all. */
async function* shippedLines(
  unshipped: Promise<readonly string[]>,
  lines: () => AsyncIterable<string | Uint8Array>,
): ReturnType<SimulationSource['portions']> {
  yield { unshipped: await unshipped };
  yield* portionsOfLines(lines());
}

/** The writers that may have decided more in the time asked for than is in a database: the first piece of its groups names them. */
async function unshippedIn(
  reader: Pick<RecordedDecisions, 'groups'>,
  { policySet, to }: LookedAt,
): Promise<readonly string[]> {
  const end = endOf(to);
  for await (const { unshipped = [] } of reader.groups({ policySet, from: end, to: end + 1 }, 0)) return unshipped;
  return [];
}

function endOf(to: number | undefined): number {
  return Math.min(to ?? Number.MAX_SAFE_INTEGER, Date.now());
}

function exportQuery(wanted: LookedAt): ExportQuery {
  const { policySet, filter } = wanted;
  return { format: 'ndjson', policySet, ...timesOf(wanted), ...(filter !== undefined && { filter }) };
}

function timesOf({ from, to }: LookedAt): { from?: string; to?: string } {
  return {
    ...(from !== undefined && { from: new Date(from).toISOString() }),
    ...(to !== undefined && { to: new Date(to).toISOString() }),
  };
}
