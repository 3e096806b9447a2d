/**
 * NGINX, Caddy and HAProxy as Debian has them, Traefik, NGINX with OpenResty's Lua, and a Worker in Cloudflare's runtime, each
 * with the configuration or the file that the documentation shows, between a client and a small upstream. A program that is not installed is skipped, unless `VERDICT_TEST_REQUIRE=all`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltService, freePort, startBuiltService } from '../authzen/built-service.js';
import { idModel } from '../models.js';
import { type Issuer, startIssuer } from '../security/world.js';
import { isInstalled, pathWithSbin, required, untilOpen } from './programs.js';

const page = readFileSync(new URL('../../docs/gateways.md', import.meta.url), 'utf8');

interface Places {
  readonly directory: string;
  readonly port: number;
  readonly upstream: string;
  readonly verdict: string;
  readonly key: string;
}

interface Gateway {
  readonly name: string;
  readonly command: string;
  /** Writes the configuration and says how the program is started with it, in the foreground. */
  configure(places: Places): readonly string[];
  /** What a client gets while Verdict does not answer; by default 503 that may not be cached. */
  readonly unavailable?: { readonly status: number };
  /** Paths that the gateway makes plain before anybody sees them: the upstream gets what was decided on. */
  readonly tidies?: readonly string[];
  /** A file that must be there beside the command. */
  readonly needs?: string;
}

/** A block of the page, with the places put in. */
function shown(language: string, { directory, port, upstream, verdict, key }: Places): string {
  const block = page.split(`\`\`\`${language}\n`)[1]!.split('```')[0]!;
  return block
    .replaceAll('UPSTREAM', upstream)
    .replaceAll('VERDICT', verdict)
    .replaceAll('API_KEY', key)
    .replaceAll('LUA_FILE', join(directory, 'verdict.lua'))
    .replaceAll('PORT', String(port));
}

const folder = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const kongFolder = folder('deploy/gateways/kong');
const workerFile = folder('deploy/gateways/cloudflare/worker.js');
const modules = '/usr/lib/nginx/modules';
/** OpenResty's Lua module, by Debian's package libnginx-mod-http-lua. */
const luaModule = `${modules}/ngx_http_lua_module.so`;

const gateways: readonly Gateway[] = [
  {
    name: 'NGINX',
    command: 'nginx',
    configure: (places) => {
      const { directory, port } = places;
      const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
        (kind) => `${kind}_temp_path ${directory}/${kind};`,
      );
      writeFileSync(
        join(directory, 'nginx.conf'),
        `daemon off; pid ${directory}/nginx.pid; error_log ${directory}/error.log; worker_processes 1;
events { worker_connections 128; }
http { access_log off; ${paths.join(' ')} server { listen 127.0.0.1:${port};\n${shown('nginx', places)}\n} }\n`,
      );
      return ['-c', join(directory, 'nginx.conf'), '-e', join(directory, 'error.log'), '-p', directory];
    },
  },
  {
    name: 'Caddy',
    command: 'caddy',
    configure: (places) => {
      const options = '{\n\tadmin off\n\tauto_https off\n}\n';
      writeFileSync(join(places.directory, 'Caddyfile'), options + shown('caddyfile', places));
      return ['run', '--config', join(places.directory, 'Caddyfile'), '--adapter', 'caddyfile'];
    },
  },
  {
    name: 'HAProxy',
    command: 'haproxy',
    configure: (places) => {
      writeFileSync(join(places.directory, 'verdict.lua'), shown('lua', places));
      writeFileSync(join(places.directory, 'haproxy.cfg'), shown('haproxy', places));
      return ['-db', '-f', join(places.directory, 'haproxy.cfg')];
    },
  },
  {
    name: 'Traefik',
    command: 'traefik',
    configure: (places) => {
      const { directory, port } = places;
      writeFileSync(join(directory, 'dynamic.yaml'), shown('yaml traefik', places));
      return [
        `--entryPoints.web.address=127.0.0.1:${port}`,
        `--providers.file.filename=${join(directory, 'dynamic.yaml')}`,
        '--global.checkNewVersion=false',
        '--global.sendAnonymousUsage=false',
        '--log.level=ERROR',
      ];
    },
    // ForwardAuth has no other status for it; no cache keeps a 500.
    unavailable: { status: 500 },
    tidies: ['/admin%00/../orders'],
  },
  {
    name: "Kong's plugin in NGINX",
    command: 'nginx',
    needs: luaModule,
    configure: (places) => {
      const { directory, port, upstream, verdict, key } = places;
      const [host, verdictPort] = verdict.split(':');
      const conf = `{ host = "${host}", port = ${verdictPort}, path = "/v1/gateway/forward-auth", tls = false, api_key = "${key}",
        connect_timeout = 1000, read_timeout = 2000 }`;
      const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
        (kind) => `${kind}_temp_path ${directory}/${kind};`,
      );
      writeFileSync(
        join(directory, 'nginx.conf'),
        `load_module ${modules}/ndk_http_module.so; load_module ${luaModule};
daemon off; pid ${directory}/nginx.pid; error_log ${directory}/error.log; worker_processes 1;
events { worker_connections 128; }
http {
  access_log off; ${paths.join(' ')}
  lua_package_path "${kongFolder}/?.lua;;";
  init_by_lua_block { plugin = require "kong.plugins.verdict.handler" }
  server {
    listen 127.0.0.1:${port};
    location / {
      access_by_lua_block { plugin:access(${conf}) }
      proxy_pass http://${upstream};
    }
  }
}\n`,
      );
      return ['-c', join(directory, 'nginx.conf'), '-e', join(directory, 'error.log'), '-p', directory];
    },
  },
  {
    name: "Cloudflare's runtime",
    command: 'workerd',
    configure: ({ directory, port, upstream, verdict, key }) => {
      cpSync(workerFile, join(directory, 'worker.js'));
      const bindings = Object.entries({
        VERDICT_URL: `http://${verdict}`,
        VERDICT_KEY: key,
        ORIGIN_URL: `http://${upstream}`,
      }).map(([name, text]) => `(name = "${name}", text = "${text}")`);
      writeFileSync(
        join(directory, 'config.capnp'),
        `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "worker", worker = (
      modules = [(name = "worker.js", esModule = embed "worker.js")],
      compatibilityDate = "2026-06-01",
      bindings = [${bindings.join(', ')}],
    )),
    # What it may reach: on a test machine everything is on loopback.
    (name = "internet", network = (allow = ["private", "local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "worker")],
);\n`,
      );
      return ['serve', join(directory, 'config.capnp')];
    },
    tidies: ['/admin%00/../orders'],
  },
];

describe.each(gateways)('$name', ({ name, command, configure, needs, unavailable, tidies = [] }) => {
  const missing = !(isInstalled(command) && (needs === undefined || existsSync(needs))) && !required;
  const test = it.skipIf(missing);
  let issuer: Issuer;
  let service: BuiltService;
  let upstream: Server;
  let reached: { url: string; headers: IncomingHttpHeaders }[];
  let gateway: ChildProcess;
  let directory: string;
  let port: number;
  let token: string;

  beforeAll(async () => {
    if (missing) {
      console.warn(`${name} is not installed: its tests are skipped`);
      return;
    }
    issuer = await startIssuer();
    service = await startBuiltService(
      {
        'default/model.conf': idModel,
        'default/rules.csv': 'p, alice, /orders, GET\np, alice, /public/page, GET\np, alice, /orders, POST\n',
        'default/policy-set.yaml': 'gateway: { identity: { header: X-Forwarded-User, proxies: [tester] } }\n',
      },
      { VERDICT_JWT_ISSUER: issuer.url, VERDICT_JWT_AUDIENCE: 'verdict', VERDICT_GATEWAY_JWT_AUDIENCE: 'shop' },
    );
    const exp = Math.floor(Date.now() / 1000) + 600;
    token = await issuer.sign({ iss: issuer.url, aud: 'shop', sub: 'alice', exp });
    reached = [];
    upstream = createServer((request, response) => {
      reached.push({ url: request.url ?? '', headers: request.headers });
      response.end('upstream');
    }).listen(0, '127.0.0.1');
    await once(upstream, 'listening');
    directory = mkdtempSync(join(tmpdir(), 'verdict-gateway-'));
    port = await freePort();
    mkdirSync(join(directory, 'home'));
    const args = configure({
      directory,
      port,
      upstream: `127.0.0.1:${(upstream.address() as AddressInfo).port}`,
      verdict: new URL(service.url).host,
      key: service.token,
    });
    const env = { PATH: pathWithSbin, HOME: join(directory, 'home') };
    gateway = spawn(command, args, { cwd: directory, env, stdio: ['ignore', 'ignore', 'pipe'] });
    let errors = '';
    gateway.stderr?.on('data', (chunk) => {
      errors += chunk;
    });
    await untilOpen(port, () => gateway.exitCode !== null && errors);
    // One that listens may not have read its routes yet.
    for (let attempt = 0; attempt < 100 && (await ask('/')).status === 404; attempt++) await delay(50);
  });

  afterAll(async () => {
    if (missing) return;
    if (gateway?.exitCode === null) {
      gateway.kill('SIGTERM');
      await once(gateway, 'exit');
    }
    await service?.stop();
    await issuer?.stop();
    upstream?.close();
    rmSync(directory, { recursive: true, force: true });
  });

  /** Asks with the very path, which `fetch` would tidy up. */
  function ask(path: string, headers: Record<string, string> = {}, method = 'GET') {
    reached = [];
    return new Promise<{ status: number; headers: IncomingHttpHeaders; text: string }>((resolve, reject) => {
      const call = httpRequest({ host: '127.0.0.1', port, path, method, headers, agent: false }, (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }));
      });
      call.on('error', reject);
      call.end();
    });
  }

  const alice = () => ({ authorization: `Bearer ${token}` });

  test('lets through what is allowed, and tells the upstream by which decision and for whom', async () => {
    const { status, text } = await ask('/orders?page=2', alice());
    expect(status).toBe(200);
    expect(text).toBe('upstream');
    expect(reached).toHaveLength(1);
    expect(reached[0]!.url).toBe('/orders?page=2');
    expect(reached[0]!.headers['x-verdict-subject']).toBe('alice');
    expect(reached[0]!.headers['x-verdict-decision-id']).toMatch(/^[0-9a-f]{8}-/);
    expect((await ask('/orders', alice(), 'POST')).status).toBe(200);
  });

  test('stops what is denied', async () => {
    for (const [path, method] of [
      ['/admin', 'GET'],
      ['/orders', 'DELETE'],
    ] as const) {
      expect((await ask(path, alice(), method)).status).toBe(403);
      expect(reached).toEqual([]);
    }
  });

  test('asks for an identity where there is none, or a wrong one', async () => {
    for (const headers of [{}, { authorization: 'Bearer a.b.c' }] as Record<string, string>[]) {
      const answer = await ask('/orders', headers);
      expect(answer.status).toBe(401);
      expect(answer.headers['www-authenticate']).toMatch(/^Bearer realm="verdict"/);
      expect(reached).toEqual([]);
    }
  });

  test('believes nothing that a client says of itself', async () => {
    const forged = {
      'x-forwarded-user': 'alice',
      'x-verdict-subject': 'alice',
      'x-forwarded-method': 'GET',
      'x-forwarded-uri': '/public/page',
      'x-original-uri': '/public/page',
      'x-forwarded-host': 'other.example',
      'x-api-key': 'vd_prod_forged',
    };
    expect((await ask('/orders', forged)).status).toBe(401);
    expect((await ask('/admin', { ...forged, ...alice() })).status).toBe(403);
    expect(
      (await ask('/orders', { ...alice(), 'x-verdict-subject': 'admin', 'x-verdict-decision-id': 'x' })).status,
    ).toBe(200);
    expect(reached[0]!.headers['x-verdict-subject']).toBe('alice');
    expect(reached[0]!.headers['x-verdict-decision-id']).not.toContain('x');
  });

  test.each([
    '/public/../admin',
    '/public/%2e%2e/admin',
    '/public/..%2fadmin',
    '/public/..;/admin',
    '/public%2f..%2fadmin',
    '/public\\..\\admin',
    '/public/%5c..%5cadmin',
    '/public//../admin',
    '/%2561dmin/../orders%252f..',
    '/admin%00/../orders',
    '/orders%00',
    '/orders%0a',
    '//admin',
    '/%61dmin',
  ])('is not fooled by %s', async (path) => {
    const { status } = await ask(path, alice());
    if (tidies.includes(path)) {
      expect(reached.map(({ url }) => url)).toEqual(['/orders']);
      return;
    }
    expect([400, 403, 404]).toContain(status);
    expect(reached).toEqual([]);
  });

  /** 503, not to be cached, where the gateway can say it. */
  function expectUnavailable({ status, headers }: { status: number; headers: IncomingHttpHeaders }) {
    expect(status).toBe(unavailable?.status ?? 503);
    if (unavailable === undefined) expect(headers['cache-control']).toBe('no-store');
    expect(reached).toEqual([]);
  }

  test('lets nothing through while Verdict is slow, says so, and goes on afterwards', { timeout: 60_000 }, async () => {
    service.child.kill('SIGSTOP');
    const answer = await ask('/orders', alice()).finally(() => service.child.kill('SIGCONT'));
    expectUnavailable(answer);
    let status = 0;
    for (let attempt = 0; attempt < 50 && status !== 200; attempt++) {
      ({ status } = await ask('/orders', alice()));
      await delay(50);
    }
    expect(status).toBe(200);
  });

  test('lets nothing through when Verdict is gone, and says so', async () => {
    service.child.kill('SIGKILL');
    await once(service.child, 'exit');
    expectUnavailable(await ask('/orders', alice()));
  });
});
