/** The real Envoy, with configurations of docs/envoy.md, between a client and a small upstream. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { freePort } from '../../authzen/built-service.js';
import type { Issued } from '../../security/certificates.js';
import { isInstalled, pathWithSbin, required, untilOpen } from '../programs.js';

const page = readFileSync(new URL('../../../docs/envoy.md', import.meta.url), 'utf8');

/** The blocks of YAML that the page shows below a heading. */
export function shownBelow(heading: string): string[] {
  const section = page.split(/^## /m).find((each) => each.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`docs/envoy.md has no "${heading}"`);
  return [...section.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, block]) => block!);
}

// Configurations are trees that tests change here and there.
// biome-ignore lint/suspicious/noExplicitAny: see above
export type Tree = any;

export const isMissing = !isInstalled('envoy') && !required;
if (isMissing) console.warn('envoy is not installed: its tests are skipped');

export interface Upstream {
  readonly port: number;
  /** What has reached it since it was last cleared. */
  readonly reached: { method: string; url: string; headers: IncomingHttpHeaders; rawHeaders: string[]; body: string }[];
  stop(): void;
}

export async function startUpstream(): Promise<Upstream> {
  const reached: Upstream['reached'] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const { method = '', url = '', headers, rawHeaders } = request;
    reached.push({ method, url, headers, rawHeaders, body });
    response.end('upstream');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, reached, stop };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface AskOptions {
  readonly method?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string;
  /** Ask over TLS, at the second listener, with this certificate. */
  readonly certificate?: Issued | 'none';
}

export interface Envoy {
  readonly port: number;
  readonly upstream: Upstream;
  /** Asks with the very path, which `fetch` would tidy up. */
  ask(path: string, options?: AskOptions): Promise<Answer>;
  /** What the filter told to others in Envoy, of each request; Envoy writes it within a second. */
  metadata(): Record<string, unknown>[];
  stop(): Promise<void>;
}

export interface EnvoyOptions {
  /** The configuration as YAML, with names in the places of addresses. */
  readonly configuration: string;
  readonly places: Record<string, string>;
  /** Changes the configuration before it is used. */
  readonly change?: (configuration: Tree) => void;
  /** With these a second listener like the first one speaks TLS and wants certificates of the authority, if any is shown. */
  readonly tls?: { readonly server: Issued; readonly authority: string };
}

export async function startEnvoy({ configuration, places, change, tls }: EnvoyOptions): Promise<Envoy> {
  const upstream = await startUpstream();
  const directory = mkdtempSync(join(tmpdir(), 'verdict-envoy-'));
  const port = await freePort();
  const tlsPort = await freePort();
  const all = { UPSTREAM_HOST: '127.0.0.1', UPSTREAM_PORT: String(upstream.port), ...places, PORT: String(port) };
  let text = configuration;
  for (const [name, value] of Object.entries(all)) text = text.replaceAll(new RegExp(`\\b${name}\\b`, 'g'), value);
  const tree: Tree = parse(text);
  if (tls !== undefined) {
    const [plain] = tree.static_resources.listeners;
    const secured = structuredClone(plain);
    secured.name = 'secured';
    secured.address.socket_address.port_value = tlsPort;
    secured.filter_chains[0].transport_socket = {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
        require_client_certificate: false,
        common_tls_context: {
          tls_certificates: [
            { certificate_chain: { inline_string: tls.server.cert }, private_key: { inline_string: tls.server.key } },
          ],
          validation_context: { trusted_ca: { inline_string: tls.authority } },
        },
      },
    };
    tree.static_resources.listeners.push(secured);
  }
  const accessLog = join(directory, 'access.log');
  for (const { filter_chains } of tree.static_resources.listeners) {
    filter_chains[0].filters[0].typed_config.access_log = [
      {
        name: 'envoy.access_loggers.file',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
          path: accessLog,
          log_format: { text_format_source: { inline_string: '%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%\n' } },
        },
      },
    ];
  }
  change?.(tree);
  const file = join(directory, 'envoy.json');
  // What was changed has names in the places of addresses, too.
  let json = JSON.stringify(tree);
  for (const [name, value] of Object.entries(all)) json = json.replaceAll(new RegExp(`\\b${name}\\b`, 'g'), value);
  writeFileSync(file, json);
  const args = [
    '-c',
    file,
    '--disable-hot-restart',
    '--file-flush-interval-msec',
    '100',
    '--concurrency',
    '1',
    '--log-level',
    'warning',
  ];
  const child: ChildProcess = spawn('envoy', args, {
    cwd: directory,
    env: { PATH: pathWithSbin, HOME: directory },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr?.on('data', (chunk) => {
    errors += chunk;
  });
  await untilOpen(port, () => child.exitCode !== null && errors);
  const ask = (path: string, { method = 'GET', headers = {}, body, certificate }: AskOptions = {}) => {
    upstream.reached.length = 0;
    return new Promise<Answer>((resolve, reject) => {
      const options = { host: '127.0.0.1', path, method, headers, agent: false };
      const shown = certificate === undefined || certificate === 'none' ? {} : certificate;
      const call =
        certificate === undefined
          ? httpRequest({ ...options, port })
          : httpsRequest({ ...options, ...shown, port: tlsPort, rejectUnauthorized: false });
      call.on('response', (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }));
      });
      call.on('error', reject);
      call.end(body);
    });
  };
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    upstream.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  const metadata = () =>
    readFileSync(accessLog, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { port, upstream, ask, metadata, stop };
}
