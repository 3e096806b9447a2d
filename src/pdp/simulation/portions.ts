/** Cuts what is read of a log into portions for threads. */
import type { LogGroups } from '../../decision-log/log-groups.js';
import type { SimulationSource } from './simulation-run.js';

/** Text of a portion, about, in characters: some thousand records, which take a thread some ten milliseconds. */
const portionLength = 512 * 1024;

type Portions = ReturnType<SimulationSource['portions']>;

/** Groups as the log stores them. */
export async function* portionsOfGroups(read: AsyncIterable<LogGroups>): Portions {
  let groups: LogGroups['groups'][number][] = [];
  let length = 0;
  for await (const { groups: more, gaps, unshipped } of read) {
    // Also without gaps: a simulation that is cancelled ends here.
    yield { gaps, unshipped };
    for (const group of more) {
      groups.push(group);
      length += group.records.length;
      if (length < portionLength) continue;
      yield { portion: { kind: 'groups', groups } };
      groups = [];
      length = 0;
    }
  }
  if (groups.length > 0) yield { portion: { kind: 'groups', groups } };
}

/**
 * Lines of an export.
 *
 * @param longestLine longest line of a record, in characters
 * @throws LineTooLong
 */
export async function* portionsOfLines(
  read: AsyncIterable<string | Uint8Array>,
  longestLine = defaultLongestLine,
): Portions {
  const decoder = new TextDecoder();
  let text = '';
  let line = 1;
  for await (const piece of read) {
    text += typeof piece === 'string' ? piece : decoder.decode(piece, { stream: true });
    if (text.length < portionLength) {
      yield {};
      continue;
    }
    const end = text.lastIndexOf('\n');
    if (end === -1) {
      if (text.length > longestLine) throw new LineTooLong(line);
      continue;
    }
    yield { portion: { kind: 'lines', text: text.slice(0, end), line } };
    line += linesIn(text, end);
    text = text.slice(end + 1);
  }
  text += decoder.decode();
  if (text.trim() !== '') yield { portion: { kind: 'lines', text, line } };
}

/** A record of the largest request that a service can be configured to take. */
const defaultLongestLine = 64 * 1024 * 1024;

export class LineTooLong extends Error {
  override readonly name = 'LineTooLong';

  constructor(readonly line: number) {
    super(`line ${line} is too long to be a decision record`);
  }
}

/** Line feeds up to the one at `end`. */
function linesIn(text: string, end: number): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at !== -1 && at <= end; at = text.indexOf('\n', at + 1)) count++;
  return count;
}
