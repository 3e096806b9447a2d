/**
 * The time of the record whose line (group-text.ts) this is, in milliseconds since 1970, read without parsing it: a line
 * begins with the id, and then with the time where the id does not hold it. Undefined for any other text.
 *
 *     timeOfLine('{"id":"0199c2f6-3d41-7003-8a41-90b7c3d9e211","request":…')   // 1759832456513
 */
export function timeOfLine(line: string): number | undefined {
  if (!isRecordLine(line)) return undefined;
  if (line.startsWith('"time":"', timeAt)) {
    const time = Date.parse(line.slice(timeAt + 8, line.indexOf('"', timeAt + 8)));
    return Number.isNaN(time) ? undefined : time;
  }
  const milliseconds = Number.parseInt(line.slice(idAt, idAt + 8) + line.slice(idAt + 9, idAt + 13), 16);
  return Number.isNaN(milliseconds) ? undefined : milliseconds;
}

/** False for a line of shared members, and for one that was left empty. */
export function isRecordLine(line: string): boolean {
  return line.startsWith('{"id":');
}

const idAt = '{"id":"'.length;
const timeAt = idAt + 36 + '",'.length;
