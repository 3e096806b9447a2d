/**
 * `@verdict/nestjs` as it is packed, in applications of NestJS 11 and 12 that npm installs, compiled as ES modules and as CommonJS,
 * beside the built service: who gets in, and what an attacker gets.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BuiltService, startBuiltService } from '../authzen/built-service.js';
import { examplesOf } from './page-examples.js';
import { ScratchProject } from './scratch-project.js';
import { scripted } from './scripted-server.js';
import { allow, eachSpoiled } from './spoiled-allows.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const versions = {
  11: { core: '11.2.10', fastify: '11.2.8', messages: '11.2.6', graphql: '13.4.5', apollo: '13.4.5' },
  12: { core: '12.5.1', fastify: '12.5.0', messages: '12.1.1', graphql: '14.0.3', apollo: '14.0.3' },
};
type Major = keyof typeof versions;
type Format = 'esm' | 'cjs';
type Adapter = 'express' | 'fastify';

/** `open` is open to ann whatever its id; `read` is for owners in the tenant; nobody deletes but root. */
const policies = {
  'guard/policy-set.yaml': 'local: allowed\n',
  'guard/model.conf': `[request_definition]
r = sub, obj, act, env
[policy_definition]
p = sub, act, condition, eft, reason, obligations
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = (r.sub == p.sub || p.sub == "*") && r.obj.type == "doc" && r.act == p.act && eval(p.condition)
`,
  'guard/rules.csv': `p, ann, open, has(r.obj.id), allow, ,
p, root, delete, true, allow, ,
p, ann, list, r.obj.id == '', allow, ,
p, *, read, r.obj.owner == r.sub.id && r.env.tenant == 'acme', allow, It is yours, "[{""watermark"": ""copy""}]"
`,
};

/** What the example of docs/clients.md asks about. */
const clinic = Object.fromEntries(
  readdirSync(join(root, 'policies/default'), { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => [`default/${name}`, readFileSync(join(root, 'policies/default', name), 'utf8')]),
);

let service: BuiltService;
/** Where nobody answers. */
let nowhere: string;
beforeAll(async () => {
  service = await startBuiltService({ ...clinic, ...policies }, {}, ['decide', 'bundles:read', 'decisions:read']);
  const gone = await scripted(() => {});
  nowhere = gone.url;
  await gone.stop();
});
afterAll(() => service.stop());

class Application {
  /** All that it logged. */
  log = '';

  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
    readonly port: number,
  ) {
    child.stderr!.on('data', (text) => {
      this.log += text;
    });
    child.stdout!.on('data', (text) => {
      this.log += text;
    });
  }

  static async start(folder: string, file: string, env: Record<string, string>) {
    const child = spawn(process.execPath, [file], {
      cwd: folder,
      env: {
        PATH: process.env.PATH,
        NO_COLOR: '1',
        VERDICT_URL: service.url,
        VERDICT_API_KEY: service.token,
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    child.stderr.on('data', (part) => {
      text += part;
    });
    for await (const line of createInterface({ input: child.stdout })) {
      const [, url, port] = /^listening on (\S+) ?(\d*)$/.exec(line) ?? [];
      if (url !== undefined) return new Application(child, url, Number(port));
      text += `${line}\n`;
    }
    await once(child, 'close');
    throw new Error(`the application did not start: ${text}`);
  }

  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.child.kill(signal);
    await once(this.child, 'close');
  }

  async ask(path: string, token: string | undefined = 'ann', init: RequestInit = {}) {
    const headers: Record<string, string> = { ...(init.headers as object) };
    if (token !== '') headers.authorization = `Bearer ${token}`;
    const answer = await fetch(`${this.url}${path}`, { ...init, headers });
    const text = await answer.text();
    return {
      status: answer.status,
      text,
      body: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text,
    };
  }

  async status(path: string, token?: string, init?: RequestInit): Promise<number> {
    return (await this.ask(path, token, init)).status;
  }

  /** Asks GraphQL. */
  async graphql(query: string, token?: string) {
    const headers = { 'content-type': 'application/json' };
    return (await this.ask('/graphql', token, { method: 'POST', headers, body: JSON.stringify({ query }) })).body;
  }

  /** Sends a message as Nest's own TCP clients do, and resolves with the answer, or at once for an event. */
  async send(pattern: string, data: object, isEvent = false): Promise<{ response?: unknown; err?: unknown }> {
    const socket = connect(this.port, '127.0.0.1');
    await once(socket, 'connect');
    const packet = JSON.stringify({ pattern, data, ...(!isEvent && { id: '1' }) });
    socket.write(`${packet.length}#${packet}`);
    if (isEvent) {
      socket.end();
      await once(socket, 'close');
      return {};
    }
    const [bytes] = await once(socket, 'data');
    socket.destroy();
    return JSON.parse(String(bytes).replace(/^\d+#/, ''));
  }
}

describe.each([11, 12] as Major[])('NestJS %i', (major) => {
  const project = new ScratchProject();
  const sources = join(root, 'test/packages/nestjs-app');
  beforeAll(() => {
    const { core, fastify, messages, graphql, apollo } = versions[major];
    const named = [
      ...['common', 'core', 'platform-express'].map((name) => `@nestjs/${name}@${core}`),
      `@nestjs/platform-fastify@${fastify}`,
      ...['microservices', 'websockets', 'platform-ws'].map((name) => `@nestjs/${name}@${messages}`),
      `@nestjs/graphql@${graphql}`,
      `@nestjs/apollo@${apollo}`,
      ...['@apollo/server@5', '@as-integrations/express5@1', 'graphql@16', 'reflect-metadata@0.2', 'rxjs@7', 'ws@8'],
    ];
    project.run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', ...named], {
      // A machine may reach the registry by a proxy, and trust it by an authority of its own.
      env: process.env,
    });
    for (const workspace of ['engine', 'client', 'nestjs']) project.install(workspace);
    for (const name of ['@types/node', 'undici-types']) project.link(name);
    for (const format of ['esm', 'cjs']) {
      cpSync(sources, join(project.folder, format), { recursive: true });
      const type = JSON.stringify({ type: format === 'esm' ? 'module' : 'commonjs' });
      for (const folder of [format, `out/${format}`]) project.write(`${folder}/package.json`, type);
    }
    project.write('esm/example.ts', examplesOf('clients.md').get('main.ts')!);
    const compilerOptions = {
      strict: true,
      target: 'es2023',
      module: 'nodenext',
      types: ['node'],
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
      skipLibCheck: true,
      rootDir: '.',
      outDir: 'out',
    };
    project.write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['esm', 'cjs'] }));
    project.run('tsc', ['-p', project.folder]);
  }, 600_000);

  const apps: Application[] = [];
  afterAll(async () => {
    for (const app of apps) await app.stop();
    project.remove();
  });
  const start = async (format: Format, adapter: Adapter, env?: Record<string, string>) => {
    const app = await Application.start(project.folder, `out/${format}/main.js`, { ADAPTER: adapter, ...env });
    apps.push(app);
    return app;
  };

  it.each(['esm', 'cjs'] as Format[])('a handler without a rule stops the start (%s)', (format) => {
    const env = { PATH: process.env.PATH, VERDICT_URL: service.url, VERDICT_API_KEY: service.token };
    const printed = project.run(process.execPath, [`out/${format}/main.js`, 'refuse'], { env });
    const refusals = printed
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const lacking = (...names: string[]) => names.map((name) => `${name} has neither @Authorize nor @Public`);
    const lost = (name: string) => [
      `${name} lost its rule: a decorator above the rule replaced the method; write the rule on top`,
    ];
    const wanted = {
      undecorated: lacking('Undecorated.read', 'Undecorated.write'),
      'of a public base': lacking('ExtendsPublic.read'),
      'of an authorized base': lacking('ExtendsAuthorized.read'),
      overridden: lacking('Overrides.read'),
      messages: lacking('Messages.read', 'Messages.written'),
      queries: lacking('Queries.read'),
      references: lacking('References.resolveReference'),
      gateways: lacking('Gateway.read'),
      fields: ["Fields.title needs { fieldResolverEnhancers: ['guards'] } of its GraphQLModule"],
      'fields of a root type': lacking('RootFields.secrets'),
      'fields of a class that asks': [
        "ClassFields.content needs { fieldResolverEnhancers: ['guards'] } of its GraphQLModule",
      ],
      services: ['Service.read has a rule, but callers do not come by it'],
      'a class without handlers': ['Payroll has a rule, but no handler that it is for'],
      wrapped: lost('Wrapped.remove'),
      'of a wrapped base': lost('ExtendsWrapped.remove'),
      'made by a factory': lacking('Factory.read'),
    };
    const said = Object.entries(wanted).map(([name, faults]) => [
      name,
      ['VerdictGuard refuses to start:', ...faults.map((fault) => `- ${fault}`)].join('\n'),
    ]);
    expect(refusals).toEqual(said);
  });

  describe.each([
    ['esm', 'express'],
    ['cjs', 'fastify'],
  ] as [Format, Adapter][])('%s, %s', (format, adapter) => {
    let app: Application;
    beforeAll(async () => {
      app = await start(format, adapter);
    });

    it('lets in whom the policy lets in, and hands the decision on', async () => {
      expect(await app.ask('/docs/doc-1')).toMatchObject({
        status: 200,
        body: {
          id: 'doc-1',
          subject: { type: 'user', id: 'ann' },
          reason: 'rule_allowed',
          obligations: [{ watermark: 'copy' }],
          isSame: true,
        },
      });
      expect(await app.status('/docs/doc-2')).toBe(403);
      expect(await app.status('/docs/doc-2', 'ben')).toBe(200);
      // What the rule wants to know was not said.
      expect(await app.status('/docs/doc-1', 'ann', { method: 'PUT' })).toBe(403);
      expect(await app.status('/docs/late/attributes')).toBe(200);
      expect((await app.ask('/docs/asked/within')).body).toEqual({ can: true, reason: 'rule_allowed' });
      expect((await app.ask('/scoped/doc-1')).body).toEqual({ reason: 'rule_allowed' });
      expect((await app.ask('/docs/open/to/all', '')).body).toEqual({ isAsked: false });
    });

    it('is 401 without a user, and says nothing of why', async () => {
      for (const path of ['/docs/doc-1', '/docs', '/classes/doc-1', '/orders/above/doc-1', '/v1/versioned/doc-1']) {
        expect(await app.ask(path, ''), path).toMatchObject({
          status: 401,
          body: { message: 'Unauthorized', statusCode: 401 },
        });
      }
      expect((await app.ask('/docs/doc-2')).body).toEqual({
        message: 'Forbidden resource',
        error: 'Forbidden',
        statusCode: 403,
      });
      // Nobody, since nothing authenticates.
      expect(await app.status('/orders/nobody/doc-1')).toBe(401);
      expect(app.log).toContain('OrdersController.nobody is refused (401)');
      expect(app.log).toMatch(/DocsController\.read is denied: no_matching_rule, decision [\da-f-]{36}/);
    });

    it('takes no user whose id is no text, or is two', async () => {
      for (const token of ['number', 'two', 'nameless']) expect(await app.status('/docs/open/doc-1', token)).toBe(403);
      expect(app.log).toContain('the option `subject` says who it is');
      expect(app.log).not.toContain('secret');
    });

    it('decides behind the other guards, in whatever order they stand', async () => {
      const paths = ['/orders/above', '/orders/below', '/orders/outside', '/classes', '/classes-2', '/classes-3'];
      for (const path of paths) {
        expect(await app.status(`${path}/doc-1`), path).toBe(200);
        expect(await app.status(`${path}/doc-1`, 'ben'), path).toBe(403);
        expect(await app.status(`${path}/doc-1`, ''), path).toBe(401);
      }
      // A rule of a method is in the place of that of its class.
      expect(await app.status('/classes/own/doc-1')).toBe(403);
      expect(await app.status('/classes/own/doc-1', 'root')).toBe(200);
      expect(await app.status('/classes/public/doc-1', '')).toBe(200);
    });

    it('holds for what is inherited as it says, and for no more', async () => {
      expect(await app.status('/derived/inherited/doc-1')).toBe(200);
      expect(await app.status('/derived/inherited/doc-1', 'ben')).toBe(403);
      expect(await app.status('/derived/inherited/doc-1', '')).toBe(401);
      expect(await app.status('/derived/stated/doc-1')).toBe(403);
      expect(await app.status('/derived/stated/doc-1', 'root')).toBe(200);
      expect(await app.status('/derived/overridden/doc-1', 'ben')).toBe(403);
      expect(await app.status('/derived/dropped/doc-1')).toBe(404);
      expect(await app.status('/public/inherited/doc-1', '')).toBe(200);
      expect(await app.status('/public/stated/doc-1', '')).toBe(401);
      expect(await app.status('/public/stated/doc-1', 'ann')).toBe(403);
    });

    it('guards HEAD as GET, all methods of a route for all, events and versions', async () => {
      const head = { method: 'HEAD' };
      expect(await app.status('/docs/doc-1', 'ann', head)).toBe(200);
      expect(await app.status('/docs/doc-2', 'ann', head)).toBe(403);
      expect(await app.status('/docs/doc-1', '', head)).toBe(401);
      expect(await app.status('/docs/doc-1', 'ann', { method: 'DELETE' })).toBe(403);
      expect(await app.status('/docs/doc-1', 'ann', { method: 'PATCH' })).toBe(404);
      const override = { method: 'POST', headers: { 'x-http-method-override': 'GET' } };
      expect(await app.status('/docs/doc-1', 'ann', override)).toBe(404);
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD']) {
        expect(await app.status('/docs/all/doc-1', 'ben', { method }), method).toBe(403);
        expect(await app.status('/docs/all/doc-1', 'ann', { method }), method).toBeLessThan(300);
      }
      expect(await app.ask('/docs/events/doc-1')).toMatchObject({
        status: 200,
        text: expect.stringContaining('reached'),
      });
      expect(await app.status('/docs/events/doc-1', 'ben')).toBe(403);
      for (const version of [1, 2]) expect(await app.status(`/v${version}/versioned/doc-1`, 'ben')).toBe(403);
      expect(await app.status('/v1/versioned/doc-1')).toBe(200);
      expect(await app.status('/v3/versioned/doc-1')).toBe(403);
      expect(await app.status('/v3/versioned/doc-1', 'root')).toBe(200);
      expect(await app.status('/versioned/doc-1')).toBe(404);
      expect(await app.status('/v4/versioned/doc-1')).toBe(404);
    });

    it('asks about nothing that is missing or is no text', async () => {
      const paths = [
        '/docs/by/query',
        '/docs/by/query?id=',
        '/docs/by/query?id=doc-1&id=doc-2',
        '/docs/by/query?id[]=doc-1',
        '/docs/by/query?id[a]=doc-1',
        '/docs/by/query?__proto__[id]=doc-1',
        '/docs/by/query?constructor[prototype][id]=doc-1',
        '/docs/inherited/parameter',
        '/docs/proto/parameter',
        '/docs/object/parameter',
        '/docs/none/parameter',
        '/docs/number/parameter',
        '/docs/long/parameter',
        '/docs/open/a%00b',
        '/docs/open/a%0Ab',
      ];
      for (const path of paths) {
        expect(await app.ask(path), path).toMatchObject({
          status: 400,
          body: { message: 'Bad Request', statusCode: 400 },
        });
      }
      expect((await app.ask('/docs/by/query?id=doc-1')).body).toEqual({ reached: 'doc-1' });
    });

    it('asks about the id that the handler has, as it is written', async () => {
      const ids = [
        '__proto__',
        'constructor',
        'toString',
        'DOC-1',
        'doc%2D1',
        'doc%252D1',
        '%2E%2E%2Fdoc',
        'd%C3%B6c',
        '%20',
        'undefined',
      ];
      for (const id of ids) {
        const once = decodeURIComponent(id);
        expect((await app.ask(`/docs/open/${id}`)).body, id).toEqual({ reached: once });
      }
      // The owner is known of doc-1, not of what looks like it.
      for (const id of ['DOC-1', 'doc-1%20', 'doc%252D1', '__proto__', 'constructor']) {
        expect(await app.status(`/docs/${id}`), id).toBe(403);
      }
      expect(await app.status('/docs/doc%2D1')).toBe(200);
      expect([400, 404]).toContain(await app.status('/docs/open/%E0%A4%A'));
    });

    it('denies where a function of the application fails, and says why in the log alone', async () => {
      const paths = [
        '/docs/doc-9',
        '/docs/throws/id',
        '/docs/rejects/id',
        '/docs/rejects/attributes',
        '/docs/list/attributes',
        '/docs/text/environment',
      ];
      for (const path of paths) {
        const { status, text } = await app.ask(path);
        expect(status, path).toBe(403);
        expect(text).not.toContain('secret');
      }
      expect(app.log).toContain('DocsController.throwsId is refused (403): the question could not be made: secret');
      expect(app.log).toContain(
        'DocsController.read is refused (403): the question could not be made: no such document',
      );
    });

    it('takes what a caller says as what it says, and no prototype with it', async () => {
      const post = (body: string) =>
        app.ask('/docs/claims/doc-2', 'ann', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
      expect((await post('{"owner": "ben"}')).status).toBe(403);
      expect((await post('{"owner": "ann"}')).status).toBe(201);
      for (const body of [
        '{"__proto__": {"owner": "ann"}}',
        '{"constructor": {"prototype": {"owner": "ann"}}}',
        '[]',
        '{}',
      ]) {
        expect([400, 403], body).toContain((await post(body)).status);
      }
    });

    it('is 503 where the set of a question is not there: the caller did not choose it', async () => {
      expect(await app.status('/docs/unknown/set')).toBe(503);
      expect(app.log).toContain('DocsController.unknownSet is refused (503): policy_set_not_found');
    });

    it('filters a list with one call: in order, without what is denied, has a problem, or cannot be named', async () => {
      expect((await app.ask('/docs')).body).toEqual(['doc-3', 'doc-1']);
      expect(app.log).toContain('an item is left out');
    });
  });

  describe('messages', () => {
    let app: Application;
    beforeAll(async () => {
      app = await start('esm', 'express');
    });

    it('GraphQL: each field of a call by itself', async () => {
      const wanted = { id: 'doc-1', subject: 'ann', reason: 'rule_allowed', title: 'Title of doc-1' };
      expect(await app.graphql('{ doc(id: "doc-1") { id subject reason title } }')).toEqual({ data: { doc: wanted } });
      const two = await app.graphql('{ a: doc(id: "doc-1") { id reason } b: doc(id: "doc-2") { id } hello }');
      expect(two.data).toEqual({ a: { id: 'doc-1', reason: 'rule_allowed' }, b: { id: 'doc-2' }, hello: 'hello' });
      expect(await app.graphql('{ hello }', '')).toEqual({ data: { hello: 'hello' } });
      const codes = async (query: string, token?: string) =>
        (await app.graphql(query, token)).errors.map(
          ({ extensions }: { extensions: { code: string } }) => extensions.code,
        );
      expect(await codes('{ doc(id: "doc-1") { id } }', 'ben')).toEqual(['FORBIDDEN']);
      expect(await codes('{ doc(id: "doc-1") { id } }', '')).toEqual(['UNAUTHENTICATED']);
      expect(await codes('{ doc(id: "") { id } }')).toEqual(['BAD_REQUEST']);
      expect(await codes('{ numbered(number: 7) { id } }')).toEqual(['BAD_REQUEST']);
      expect(await codes('mutation { remove(id: "doc-1") }')).toEqual(['FORBIDDEN']);
      expect((await app.graphql('mutation { remove(id: "doc-1") }', 'root')).data).toEqual({ remove: 'doc-1' });
      // A field with a rule of its own.
      expect(await codes('{ doc(id: "doc-1") { id secret } }')).toEqual(['FORBIDDEN']);
    });

    it('a microservice: messages and events', async () => {
      expect(await app.send('open', { id: 'doc-1', token: 'ann' })).toMatchObject({
        response: { id: 'doc-1', subject: 'ann', reason: 'rule_allowed' },
      });
      expect(await app.send('open', { id: 'doc-1', token: 'ben' })).toMatchObject({
        err: { status: 'error', message: 'Forbidden resource' },
      });
      const refused = async (data: object) => (await app.send('open', data)).err;
      expect(await refused({ id: 'doc-1' })).toEqual({ status: 'error', statusCode: 401, message: 'Unauthorized' });
      expect(await refused({ token: 'ann' })).toEqual({ status: 'error', statusCode: 400, message: 'Bad Request' });
      expect(await refused({ token: 'ann', id: ['doc-1'] })).toMatchObject({ statusCode: 400 });
      expect(await app.send('twice', { id: 'doc-1', token: 'ann' })).toMatchObject({ response: 'reached' });
      expect(await app.send('twice', { id: 'doc-1', token: 'ben' })).toMatchObject({
        err: { message: 'Forbidden resource' },
      });
      await app.send('opened', { id: 'doc-1', token: 'ben' }, true);
      await app.send('opened', { id: 'doc-1', token: 'ann' }, true);
      await expect.poll(async () => (await app.send('events', {})).response).toEqual(['ann doc-1']);
    });

    it('a gateway', async () => {
      const script = `import WebSocket from 'ws';
const socket = new WebSocket(process.argv[2]);
const answers = [];
socket.on('open', () => {
  for (const data of JSON.parse(process.argv[3])) socket.send(JSON.stringify({ event: 'open', data }));
});
socket.on('message', (text) => {
  const answer = JSON.parse(text);
  answers.push(answer);
  if (answer.data.id !== 'last') return;
  console.log(JSON.stringify(answers));
  process.exit();
});
`;
      const asked = [
        { id: 'doc-1', token: 'ann' },
        { id: 'doc-1', token: 'ben' },
        { id: 'doc-1' },
        { token: 'ann' },
        { id: 'last', token: 'ann' },
      ];
      const url = `${app.url.replace('http:', 'ws:')}/ws`;
      const file = project.write('gateway.mjs', script);
      const printed = project.run(process.execPath, [file, url, JSON.stringify(asked)], { timeout: 60_000 });
      const answers: { event: string; data: { id?: string } }[] = JSON.parse(printed);
      const opened = answers.filter(({ event }) => event === 'opened').map(({ data }) => data);
      expect(opened).toEqual([
        { id: 'doc-1', subject: 'ann' },
        { id: 'last', subject: 'ann' },
      ]);
      // NestJS 11 sends no exceptions to clients that are plain WebSockets.
      const exceptions = answers.filter(({ event }) => event === 'exception').map(({ data }) => data);
      if (major === 12) {
        expect(exceptions).toEqual(
          expect.arrayContaining([
            expect.objectContaining({ message: 'Forbidden resource' }),
            expect.objectContaining({ statusCode: 401 }),
            expect.objectContaining({ statusCode: 400 }),
          ]),
        );
      }
    });

    it('a microservice that was connected without the guards of its application is closed', async () => {
      const hybrid = await start('esm', 'express', { HYBRID: 'alone' });
      expect(await hybrid.send('open', { id: 'doc-1', token: 'ann' })).toMatchObject({
        err: { message: 'Forbidden resource' },
      });
      expect(hybrid.log).toContain('{ inheritAppConfig: true }');
      expect(await hybrid.status('/docs/open/doc-1')).toBe(200);
    });
  });

  describe('without an answer nobody gets in', () => {
    const closed = async (env: Record<string, string>, how: string) => {
      const app = await start('esm', 'express', env);
      const path = '/docs/open/doc-1';
      expect(await app.ask(path), how).toMatchObject({
        status: 503,
        body: { message: 'Service Unavailable', statusCode: 503 },
      });
      expect(await app.status('/docs'), how).toBe(503);
      expect(await app.status(path, ''), how).toBe(401);
      const query = '{ doc(id: "doc-1") { id } }';
      const { data, errors } = await app.graphql(query);
      expect([data, errors.length], how).toEqual([null, 1]);
      expect((await app.send('open', { id: 'doc-1', token: 'ann' })).err, how).toMatchObject({ statusCode: 503 });
      expect(app.log, how).toContain('DocsController.open is refused (503): no answer');
      await app.stop();
      apps.splice(apps.indexOf(app), 1);
    };

    it('stopped', () => closed({ VERDICT_URL: nowhere }, 'stopped'));

    it('slow', async () => {
      service.child.kill('SIGSTOP');
      try {
        await closed({ TIMEOUT_MS: '200' }, 'slow');
      } finally {
        service.child.kill('SIGCONT');
      }
    });

    it('failing, cut in the middle, or somebody else', async () => {
      const failing = await scripted((_, response) => response.writeHead(500).end(allow));
      await closed({ VERDICT_URL: failing.url }, '500');
      await failing.stop();
      const json = { 'content-type': 'application/json' };
      const cut = await scripted((_, response) => {
        response.writeHead(200, { ...json, 'content-length': allow.length + 1 });
        response.write(allow, () => response.destroy());
      });
      await closed({ VERDICT_URL: cut.url }, 'cut');
      await cut.stop();
    });

    it('where the service does not know the key: it would refuse every call', async () => {
      const app = await start('esm', 'express', { VERDICT_API_KEY: 'vd_prod_unknown' });
      expect(await app.status('/docs/open/doc-1')).toBe(503);
      expect(await app.status('/docs')).toBe(503);
      expect(app.log).toContain('DocsController.open is refused (503): unauthenticated');
    });

    it('an allow that is no answer', async () => {
      if (major === 11) return;
      await eachSpoiled((url, how) => closed({ VERDICT_URL: url }, how));
    });
  });

  describe('in the process', () => {
    it.each([
      ['esm', 'express'],
      ['cjs', 'fastify'],
    ] as [Format, Adapter][])('decides as the service does, and records it there (%s, %s)', async (format, adapter) => {
      const app = await start(format, adapter, { MODE: 'local' });
      const { body } = await app.ask('/docs/doc-1');
      expect(body).toMatchObject({ reason: 'rule_allowed', obligations: [{ watermark: 'copy' }], isSame: true });
      expect(await app.status('/docs/doc-2')).toBe(403);
      expect(await app.status('/docs/doc-1', '')).toBe(401);
      expect(await app.status('/docs/by/query')).toBe(400);
      expect(await app.status('/docs/rejects/attributes')).toBe(403);
      expect(await app.status('/docs/unknown/set')).toBe(503);
      expect((await app.ask('/docs')).body).toEqual(['doc-3', 'doc-1']);
      expect((await app.ask('/docs/asked/within')).body).toEqual({ can: true, reason: 'rule_allowed' });
      if (adapter === 'express') {
        expect(await app.graphql('{ doc(id: "doc-1") { reason } }')).toEqual({
          data: { doc: { reason: 'rule_allowed' } },
        });
        expect(await app.send('open', { id: 'doc-1', token: 'ben' })).toMatchObject({
          err: { message: 'Forbidden resource' },
        });
      }
      const denied = /DocsController\.read is denied: no_matching_rule, decision ([\da-f]{32}-\d+)/.exec(app.log);
      expect(denied, app.log).not.toBeNull();
      // What is left is sent while it stops.
      await app.stop('SIGTERM');
      apps.splice(apps.indexOf(app), 1);
      const headers = { authorization: `Bearer ${service.token}` };
      const instance = denied![1]!.slice(0, 32);
      const answer = await fetch(`${service.url}/v1/decisions?via=local&limit=1000`, { headers });
      const { items } = (await answer.json()) as {
        items: { local: { instance: string; number: number }; decision: string; resource: { id: string } }[];
      };
      const recorded = items.filter(({ local }) => local.instance === instance);
      expect(recorded.map(({ local }) => local.number).sort((a, b) => a - b)).toEqual(
        recorded.map((_, index) => index + 1),
      );
      expect(recorded.find(({ local }) => `${instance}-${local.number}` === denied![1])).toMatchObject({
        decision: 'deny',
      });
    });

    it('is closed when it has not heard of its policies for too long, and open again when it has', async () => {
      const app = await start('esm', 'express', { MODE: 'local' });
      expect(await app.status('/docs/open/doc-1')).toBe(200);
      service.child.kill('SIGSTOP');
      try {
        await expect.poll(() => app.status('/docs/open/doc-1')).toBe(503);
        expect(await app.status('/docs')).toBe(503);
        expect((await app.send('open', { id: 'doc-1', token: 'ann' })).err).toMatchObject({ statusCode: 503 });
        expect(app.log).toContain('DocsController.open is refused (503): no answer');
      } finally {
        service.child.kill('SIGCONT');
      }
      await expect.poll(() => app.status('/docs/open/doc-1')).toBe(200);
    });

    it('does not start where there are no policies', async () => {
      const alone = start('cjs', 'fastify', { MODE: 'local', VERDICT_API_KEY: 'vd_prod_unknown' });
      await expect(alone).rejects.toThrow('unauthenticated');
    });
  });

  it('runs the example of docs/clients.md', async () => {
    const example = async (url: string) => {
      const app = await Application.start(project.folder, 'out/esm/example.js', { PORT: '0', VERDICT_URL: url });
      apps.push(app);
      const ask = (id: string, token: string) => app.status(`/lab-results/${id}`, token);
      return [
        await ask('L-2231', 'token-of-dana'),
        await ask('L-2231', 'token-of-tomas'),
        await ask('none', 'token-of-tomas'),
        await ask('L-2231', ''),
        await ask('L-2231', '__proto__'),
      ];
    };
    expect(await example(service.url)).toEqual([200, 403, 403, 401, 401]);
    expect(await example(nowhere)).toEqual([503, 503, 503, 401, 401]);
  });

  it('has nothing in the package but what is built, and its peers are those of the manifest', () => {
    const read = (file: string) => JSON.parse(readFileSync(join(root, file), 'utf8'));
    const [ours, nestjs] = [read('package.json'), read('packages/nestjs/package.json')];
    expect(nestjs.version).toBe(ours.version);
    expect(nestjs).not.toHaveProperty('dependencies');
    expect(nestjs.peerDependencies).toMatchObject({ '@verdict/client': ours.version, '@verdict/engine': ours.version });
  });
});
