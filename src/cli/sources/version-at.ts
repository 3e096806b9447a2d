import type { ArchivedVersion } from '../../policy-store/archive/archived-version.js';
import { UsageError } from '../exit-code.js';
import type { PolicyVersions } from './policy-versions.js';

/**
 * The version of a set that served at a time. The archive knows when each was first and last put into service: what was put into
 * service last before the time served then, unless another one may have come back in between.
 *
 *     // a served from 1 to 2 March, b from then on
 *     await versionAt(versions, 'invoices', march3)   // b
 *
 * @param at milliseconds since 1970
 * @throws UsageError when none served, or it cannot be told which
 */
export async function versionAt(versions: PolicyVersions, set: string, at: number): Promise<ArchivedVersion> {
  const time = new Date(at).toISOString();
  const begun: Begun[] = [];
  for await (const version of versions.list(set)) {
    const [first, last] = [Date.parse(version.firstServed), Date.parse(version.lastServed)];
    if (first <= at) begun.push({ version, first, last, latest: last <= at ? last : first });
  }
  const [newest] = begun.sort((a, b) => b.latest - a.latest);
  if (newest === undefined) throw new UsageError(`no version of ${set} that served at ${time} is kept`);
  const others = begun.filter(({ first, last }) => first < newest.latest && last > at);
  if (others.length === 0) return newest.version;
  const names = [newest, ...others].map(({ version }) => version.version.slice(0, 'sha256:'.length + 12));
  throw new UsageError(
    `${names.join(' and ')} both served ${set} before ${time} and after it: which one did then is not known`,
    'say --version; the records of that time name it',
  );
}

interface Begun {
  readonly version: ArchivedVersion;
  readonly first: number;
  readonly last: number;
  /** When it was put into service last, as far as is known, up to the time that is asked for. */
  readonly latest: number;
}
