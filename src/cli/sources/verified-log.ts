/** Verifies a decision log where it lies. It loads database drivers: import it when needed. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { DecisionFilters } from '../../decision-log/decision-query.js';
import { type CertifiedKey, trustedKeys } from '../../decision-log/proof/log-keys.js';
import {
  type Finding,
  LogVerification,
  ownCheckpoints,
  type VerificationDepth,
  type VerificationReport,
} from '../../decision-log/proof/log-verification.js';
import type { ProvenSource } from '../../decision-log/proof/proof-sink.js';
import { UnprovenLog, verifyExport, WrongExport, writeProvenExport } from '../../decision-log/proof/proven-export.js';
import type { NoteKey } from '../../decision-log/proof/signed-note.js';
import { readFilter } from '../../decision-log/record-filter.js';
import { type AuditReport, verifyAuditChain } from '../../fleet/checkpoints/audit-verification.js';
import { keptCheckpoints } from '../../fleet/checkpoints/checkpoint-store.js';
import { verifyKeptVersions } from '../../policy-store/archive/archive-verification.js';
import { UsageError } from '../exit-code.js';
import { databaseOfLog, openArchive, openAuditChain, openLiveData, openProvenLog } from './database.js';
import type { KeptNote } from './kept-checkpoints.js';

/**
 * Writes a log with its proof.
 *
 * @param query which records are in it; of the others it has the hashes
 * @throws UsageError when there is no log, or it cannot be proved
 */
export async function exportProvenLog(
  database: string,
  query: DecisionFilters,
  write: (text: string) => Promise<void>,
): Promise<void> {
  const filter = readFilter(query, {});
  const source = await openProvenLog(database);
  try {
    await writeProvenExport(source, filter, write);
  } catch (error) {
    if (error instanceof UnprovenLog) throw new UsageError(error.message, '`verdict log verify` says what is wrong');
    throw error;
  } finally {
    await source.close();
  }
}

export interface ExportToVerify extends Omit<LogToVerify, 'database' | 'depth'> {
  /** What `exportProvenLog` wrote. */
  readonly file: string;
}

/** @throws UsageError for a file that cannot be read, or holds something else */
export async function verifyExportFile({ file, keys, against }: ExportToVerify): Promise<VerificationReport> {
  const begin = (certified: readonly CertifiedKey[]): LogVerification => {
    const verification = new LogVerification({ keys: trustedKeys(keys, certified), depth: 'content' });
    compareWith(verification, against);
    return verification;
  };
  const input = createReadStream(file);
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  try {
    return (await verifyExport(lines, begin)).report;
  } catch (error) {
    const isRead = error instanceof WrongExport || (error as NodeJS.ErrnoException).code !== undefined;
    throw isRead ? new UsageError(`${file}: ${(error as Error).message}`) : error;
  } finally {
    input.destroy();
  }
}

export interface LogToVerify {
  /** An SQLite file, a folder that holds one log, or a `postgres://` URL. */
  readonly database: string;
  readonly keys: readonly CertifiedKey[];
  /** Checkpoints that were kept elsewhere. */
  readonly against: readonly KeptNote[];
  readonly depth: VerificationDepth;
}

export interface DatabaseReport extends VerificationReport {
  /** Left out where the audit events are elsewhere, as of a replica's own journal, or an earlier release wrote them. */
  readonly audit?: AuditReport;
  /** Versions of policy sets that the archive has; left out at the depth `structure`, and where there is no archive. */
  readonly archivedVersions?: number;
}

/**
 * Without the key that the records are encrypted with, only the structure is verified, and `remark` hears why.
 *
 * @throws UsageError when there is no log
 */
export async function verifyLog(
  { database: named, keys, against, depth }: LogToVerify,
  remark: (what: string) => void = () => undefined,
): Promise<DatabaseReport> {
  const database = databaseOfLog(named);
  const source = await openProvenLog(database);
  try {
    const isLocked = depth === 'content' && source.locked !== undefined;
    if (isLocked) remark(`the structure alone is verified: ${source.locked.message}`);
    const reached = isLocked ? 'structure' : depth;
    const { isWhole } = source;
    const trusted = trustedKeys(keys, source.keys);
    const verification = new LogVerification({ keys: trusted, depth: reached, isWhole });
    compareWith(verification, against);
    for (const each of source.fleetCheckpoints) verification.fleetCheckpoint(each.note, ownCheckpoints, each);
    for (const what of missingCheckpoints(source))
      verification.elsewhere({ kind: 'missing', place: ownCheckpoints, what });
    await source.read(verification, { withTexts: reached === 'content' });
    verification.end();
    if (source.lost !== undefined) verification.elsewhere({ kind: 'missing', ...source.lost });
    // A service that signs checkpoints of the fleet has all tables in its database; a replica's own journal has none of them beside it.
    const hasAll = isWhole && verification.report.fleetCheckpoints + source.sentCheckpoints.length > 0;
    const audit = await verifyAudit(database, verification, trusted, depth, hasAll);
    const archivedVersions = reached === 'content' ? await verifyVersions(database, verification, hasAll) : undefined;
    return {
      ...verification.report,
      ...(audit !== undefined && { audit }),
      ...(archivedVersions !== undefined && { archivedVersions }),
    };
  } finally {
    await source.close();
  }
}

/** Checkpoints of the fleet that were taken from the ends of their table; holes between them show by themselves. */
function* missingCheckpoints({ fleetCheckpoints, sentCheckpoints }: ProvenSource): Generator<string> {
  const [oldest, newest] = [fleetCheckpoints[0]?.number, fleetCheckpoints.at(-1)?.number ?? 0];
  if (oldest !== undefined && oldest > 1 && newest - oldest + 1 < keptCheckpoints)
    yield `checkpoints 1 to ${oldest - 1} of the fleet are missing: the newest ${keptCheckpoints} are kept`;
  const sent = sentCheckpoints.toSorted((a, b) => b.number - a.number)[0];
  if (sent !== undefined && sent.number > newest)
    yield `checkpoints ${newest + 1} to ${sent.number} of the fleet are missing: they were sent (${sent.sink})`;
}

async function verifyAudit(
  database: string,
  verification: LogVerification,
  keys: readonly NoteKey[],
  depth: VerificationDepth,
  isExpected: boolean,
): Promise<AuditReport | undefined> {
  const chain = await openAuditChain(database);
  if (chain === undefined) {
    const newest = verification.auditHeads.toSorted((a, b) => a.events - b.events).at(-1);
    if (newest !== undefined && isExpected) {
      const what = `their tables are not there, and a checkpoint signs ${newest.events} of them (${newest.place})`;
      verification.elsewhere({ kind: 'missing', place: 'the audit events', what });
    }
    return undefined;
  }
  try {
    const hear = (finding: Finding) => verification.elsewhere(finding);
    return await verifyAuditChain(chain, { keys, heads: verification.auditHeads, depth, hear });
  } finally {
    await chain.close();
  }
}

/** Verifies the archive of versions, and that it has those that records name. */
async function verifyVersions(
  database: string,
  verification: LogVerification,
  isExpected: boolean,
): Promise<number | undefined> {
  const place = 'the archive of versions';
  const archive = await openArchive(database);
  if (archive === undefined) {
    const [first] = verification.versions.values();
    if (first !== undefined && isExpected) {
      const what = `its tables are not there, and the record with the sequence ${first.sequence} (${first.place}) names ${first.name} ${first.version}`;
      verification.elsewhere({ kind: 'missing', place, what });
    }
    return undefined;
  }
  const data = await openLiveData(database);
  const named = new Map(verification.versions);
  try {
    const versions = await verifyKeptVersions(
      archive,
      data,
      ({ kind, name, version, what }) => verification.elsewhere({ kind, place, what: `${name} ${version}: ${what}` }),
      ({ name, version }) => named.delete(`${name} ${version}`),
    );
    for (const { name, version, sequence, place: where } of named.values()) {
      const what = `${name} ${version} is not there, and the record with the sequence ${sequence} (${where}) names it`;
      verification.elsewhere({ kind: 'missing', place, what });
    }
    return versions;
  } finally {
    await data?.close();
    await archive.close();
  }
}

function compareWith(verification: LogVerification, against: readonly KeptNote[]): void {
  for (const { note, place, fault } of against) {
    if (note !== undefined) verification.checkpoint(note, place);
    else verification.elsewhere({ kind: 'wrong', place, what: fault });
  }
}
