/** How clients reach the service, as configured. */
import type { Config } from './config.js';

/** The path under which callers know the service, without a slash at its end: a proxy may take it away. */
export function basePathOf({ publicUrl }: Config): string {
  return publicUrl === undefined ? '' : new URL(publicUrl).pathname.replace(/\/$/, '');
}

/** Whether browsers reach the service over TLS, here or at the proxy in front. */
export function isSecure({ tlsCert, tls }: Config): boolean {
  return tlsCert !== undefined || tls === 'terminated-elsewhere';
}
