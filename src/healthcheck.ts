/**
 * Exit 0 when the service of this environment answers `/health/live`, else 1: what a container's HEALTHCHECK runs, which
 * has no curl and should have no shell.
 */
import { get as getHttp } from 'node:http';
import { get as getHttps } from 'node:https';

const timeoutMs = 2_500;

const { VERDICT_HOST = '127.0.0.1', VERDICT_PORT = '3000', VERDICT_TLS_CERT } = process.env;
const options = {
  host: loopbackOf(VERDICT_HOST),
  port: Number(VERDICT_PORT),
  path: '/health/live',
  timeout: timeoutMs,
  agent: false,
  // It asks whether the process next door answers; the certificate is for those who come from elsewhere.
  rejectUnauthorized: false,
} as const;

const request = (VERDICT_TLS_CERT === undefined ? getHttp : getHttps)(options, ({ statusCode }) => {
  process.exit(statusCode === 200 ? 0 : 1);
});
request.on('timeout', () => process.exit(1));
request.on('error', () => process.exit(1));

/** What listens on every address is asked on the loopback one. */
function loopbackOf(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}
