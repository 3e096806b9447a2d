/** For how long one that did not answer is asked after the others. */
const restMs = 5_000;

/** One of the addresses at which the service is reached. */
export class Host {
  private restsUntil = 0;

  constructor(readonly baseUrl: string) {}

  get isResting(): boolean {
    return performance.now() < this.restsUntil;
  }

  answered(): void {
    this.restsUntil = 0;
  }

  failed(): void {
    this.restsUntil = performance.now() + restMs;
  }
}

/**
 * The addresses in their order, those that failed lately at its end: calls stay with one while it answers, so that its connections
 * are kept.
 */
export function inOrder(hosts: readonly Host[]): readonly Host[] {
  const resting = hosts.filter((host) => host.isResting);
  return resting.length === 0 ? hosts : [...hosts.filter((host) => !resting.includes(host)), ...resting];
}

/** @throws TypeError unless one of the two says where the service is */
export function hostsOf({
  baseUrl,
  baseUrls,
}: {
  readonly baseUrl?: string | URL;
  readonly baseUrls?: readonly (string | URL)[];
}): readonly Host[] {
  const urls = baseUrls ?? (baseUrl === undefined ? [] : [baseUrl]);
  if (urls.length === 0 || (baseUrl !== undefined && baseUrls !== undefined)) {
    throw new TypeError('either baseUrl or baseUrls says where the service is');
  }
  return urls.map(hostAt);
}

/** @throws TypeError for what is no address of a service */
function hostAt(url: string | URL): Host {
  const { protocol, username, password, search, hash, href } = new URL(url);
  // Not quoted whole: what is wrong with it may be that it holds a password.
  if (protocol !== 'https:' && protocol !== 'http:')
    throw new TypeError(`a base URL begins with ${protocol}, not with https:`);
  if (username !== '' || password !== '') throw new TypeError('a base URL holds credentials: give them as apiKey');
  if (search !== '' || hash !== '') throw new TypeError('a base URL has a query or a fragment');
  return new Host(href.replace(/\/+$/, ''));
}
