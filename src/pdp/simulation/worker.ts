/** A thread of a simulation: it answers the portions of the log that it is given, and says at the end what it counted. */
import { constants, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import type { RoleTuple } from '../../core/data/live-data.js';
import type { StoredEntity } from '../../core/manifest/entities.js';
import { PolicyError } from '../../core/problem.js';
import type { DecisionRecord } from '../../decision-log/decision-record.js';
import type { LogGap } from '../../decision-log/log-gap.js';
import type { StoredEntries } from '../../policy-store/data/entries.js';
import type { FromThread, Missing, Portion, SetContent, ThreadData, ToThread } from './messages.js';
import { Simulator } from './simulator.js';

const port = parentPort!;
const { assignment, stopped } = workerData as ThreadData;
const isStopped = () => Atomics.load(stopped, 0) !== 0;

interface Waiting {
  readonly resolve: (content: SetContent | Missing) => void;
  readonly reject: (error: Stopped) => void;
}

/** It was told to end while it waited. */
class Stopped extends Error {}

const waiting = new Map<string, Waiting>();
/** Live data of versions that are on their way. */
const received = new Map<string, { readonly roles: RoleTuple[]; readonly entities: StoredEntity[] }>();
let work: Promise<void> = Promise.resolve();

const simulator = begin();
if (simulator !== undefined) {
  port.on('message', (message: ToThread) => {
    switch (message.kind) {
      case 'entries':
        receive(message.version, message.entries);
        break;
      case 'version':
        waiting.get(message.version)?.resolve(withReceived(message.version, message.content));
        waiting.delete(message.version);
        break;
      case 'portion':
        work = work.then(() => take(simulator, message.portion));
        break;
      case 'finish':
        work = work.then(() => say({ kind: 'result', tally: simulator.tally.parts }));
        break;
      case 'stop':
        for (const { reject } of waiting.values()) reject(new Stopped());
        break;
      default:
        message satisfies never;
    }
    // An error ends the thread, and the one who started it hears of it.
    work.catch((error) => {
      throw error;
    });
  });
  say({ kind: 'ready', hasLiveData: simulator.hasLiveData });
}

function begin(): Simulator | undefined {
  try {
    // On Linux this is of the thread alone.
    if (assignment.isBackground && process.platform === 'linux') setPriority(constants.priority.PRIORITY_LOW);
    return new Simulator(assignment, fetchVersion, isStopped);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    say({ kind: 'refused', problems: error.problems });
    return undefined;
  }
}

async function take(to: Simulator, portion: Portion): Promise<void> {
  try {
    if (portion.kind === 'groups') await to.takeGroups(portion.groups);
    else if (!(await takeLines(to, portion.text, portion.line))) return;
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
  }
  const { answered, changed } = to.tally;
  say({ kind: 'done', answered, changed });
}

async function takeLines(to: Simulator, text: string, first: number): Promise<boolean> {
  for (const [i, line] of text.split('\n').entries()) {
    if (isStopped()) break;
    if (line === '' || line === '\r') continue;
    const read = readLine(line);
    if (typeof read === 'string') {
      say({ kind: 'unreadable', line: first + i, why: read });
      return false;
    }
    if ('gap' in read) to.takeGap(read.gap);
    else if ('erred' in read) to.tally.leftOutAgain('filter_erred', read.erred);
    else await to.takeRecord(read);
  }
  return true;
}

/** What a line of an export is (export-texts.ts). */
type ExportLine = DecisionRecord | { readonly gap: LogGap } | { readonly erred: number };

/** A text says why it is none. */
function readLine(line: string): ExportLine | string {
  let value: Partial<DecisionRecord> & { readonly gap?: Partial<LogGap>; readonly erred?: unknown };
  try {
    value = JSON.parse(line);
  } catch (error) {
    return `is no JSON (${(error as Error).message}): the log is exported as NDJSON by verdict log export`;
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return 'is no decision record';
  const { gap, erred } = value;
  if (typeof erred === 'number') return { erred };
  if (gap !== undefined && isTime(gap?.from) && isTime(gap.to) && isCount(gap.lost)) return { gap: gap as LogGap };
  const { id, time, clock, policySet, policyVersion, decision, reason, request, errors, obligations } = value;
  const isRecord =
    typeof id === 'string' &&
    typeof policySet === 'string' &&
    typeof policyVersion === 'string' &&
    isTime(time) &&
    isTime(clock) &&
    (decision === 'allow' || decision === 'deny') &&
    typeof reason?.code === 'string' &&
    Array.isArray(errors) &&
    Array.isArray(obligations) &&
    typeof request?.subject?.id === 'string' &&
    typeof request.action?.name === 'string' &&
    typeof request.resource?.id === 'string';
  // Sound: what is read of a record was looked at.
  return isRecord ? (value as DecisionRecord) : 'is no decision record';
}

function isTime(value: unknown): boolean {
  return typeof value === 'string' && !Number.isNaN(Date.parse(value));
}

function isCount(value: unknown): boolean {
  return value === null || typeof value === 'number';
}

function receive(version: string, { roles, entities }: StoredEntries): void {
  const known = received.get(version) ?? { roles: [], entities: [] };
  received.set(version, known);
  known.roles.push(...roles);
  known.entities.push(...entities);
}

function withReceived(version: string, content: SetContent | Missing): SetContent | Missing {
  const data = received.get(version);
  received.delete(version);
  return typeof content === 'string' || data === undefined ? content : { ...content, data };
}

function fetchVersion(version: string): Promise<SetContent | Missing> {
  if (isStopped()) return Promise.reject(new Stopped());
  return new Promise((resolve, reject) => {
    waiting.set(version, { resolve, reject });
    say({ kind: 'wanted', version });
  });
}

function say(message: FromThread): void {
  port.postMessage(message);
}
