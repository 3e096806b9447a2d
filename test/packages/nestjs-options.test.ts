/** The options of `@verdict/nestjs`, and what must not be written, in applications of this process that the mock answers. */
import {
  Controller,
  Get,
  Inject,
  Injectable,
  Module,
  NotFoundException,
  Param,
  SetMetadata,
  type Type,
  UnauthorizedException,
} from '@nestjs/common';
import { ExternalContextCreator, NestFactory, REQUEST } from '@nestjs/core';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterEach, describe, expect, it } from 'vitest';
import { MockVerdict } from '../../packages/client/src/mock.js';
import { HandlerRules } from '../../packages/nestjs/src/handler-rules.js';
import {
  Authorize,
  Decided,
  Public,
  Subject,
  VerdictGuard,
  VerdictModule,
  type VerdictModuleOptions,
  VerdictService,
} from '../../packages/nestjs/src/nestjs.js';
import { settingsToken } from '../../packages/nestjs/src/tokens.js';

/** The clinic: dana reads the lab result L-2231, tomas may not. */
const mock = () => MockVerdict.load('policies', { policySet: 'default' });
const reading = { id: 'id' };

@Controller('lab-results')
class LabResults {
  constructor(@Inject(VerdictService) private readonly verdict: VerdictService) {}

  @Get(':id')
  @Authorize('read', 'lab-result', reading)
  read(@Subject() subject: object, @Decided() { reason }: { reason: { code: string } }) {
    return { subject, reason: reason.code };
  }

  @Get('of/:kinds')
  @Public()
  list(@Param('kinds') kinds: string) {
    return this.verdict.filter(kinds.split(' ').filter(Boolean), {
      subject: { type: 'user', id: 'dana' },
      action: 'read',
      resource: (type) => ({ type, id: 'L-2231' }),
    });
  }
}

const apps: NestFastifyApplication[] = [];
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close();
});

async function start(imports: NonNullable<Parameters<typeof Module>[0]['imports']>, controller: Type = LabResults) {
  class AppModule {}
  Module({ imports, controllers: [controller] })(AppModule);
  const logged: string[] = [];
  const log = (message: unknown) => logged.push(String(message));
  const logger = { log: () => {}, warn: log, error: log };
  const app = await NestFactory.create<NestFastifyApplication>(AppModule, new FastifyAdapter(), {
    logger,
    abortOnError: false,
  });
  apps.push(app);
  await app.init();
  const get = async (url: string, headers: Record<string, string> = {}) => {
    const answer = await app.inject({ url, headers });
    return { status: answer.statusCode, body: JSON.parse(answer.payload) };
  };
  return { app, get, logged };
}

const dana = { subject: { type: 'user', id: 'dana' }, reason: 'rule_allowed' };
const byHeader: Pick<VerdictModuleOptions, 'user'> = { user: ({ request }) => request.headers['x-user'] };

describe('the options', () => {
  it('user and subject say who calls, and as whom', async () => {
    const { get } = await start([
      VerdictModule.forRoot({
        client: mock(),
        ...byHeader,
        subject: async (user: string) => ({ type: 'user', id: user.toLowerCase() }),
      }),
    ]);
    expect(await get('/lab-results/L-2231', { 'x-user': 'DANA' })).toEqual({ status: 200, body: dana });
    expect((await get('/lab-results/L-2231', { 'x-user': 'TOMAS' })).status).toBe(403);
    expect((await get('/lab-results/L-2231')).status).toBe(401);
  });

  it.each([
    ['throws', () => expect.fail('secret')],
    ['rejects', () => Promise.reject(new Error('secret'))],
    ['is nothing', () => undefined],
    ['has no id', () => ({ type: 'user' })],
    ['has a number', () => ({ type: 'user', id: 7 })],
    ['is empty', () => ''],
  ])('a subject that %s is a deny', async (_, subject) => {
    const options = { client: mock(), user: () => 'dana', subject: subject as () => string };
    const { get } = await start([VerdictModule.forRoot(options)]);
    expect((await get('/lab-results/L-2231')).status).toBe(403);
  });

  it('environment is with every question, and that of a rule on top', async () => {
    @Controller()
    class Situations {
      @Get('both')
      @Authorize('read', 'lab-result', { environment: async () => ({ tenant: 'rule' }) })
      both() {}

      @Get('one')
      @Authorize('read', 'lab-result')
      one() {}
    }
    const client = mock();
    const environment = () => ({ ip: '10.0.0.7', tenant: 'module' });
    const { get, logged } = await start(
      [
        VerdictModule.forRoot({
          client,
          ...byHeader,
          subject: (id: string) => ({ type: 'user', id, attributes: { salary: 9 } }),
          environment,
        }),
      ],
      Situations,
    );
    for (const path of ['/both', '/one']) expect((await get(path, { 'x-user': 'tomas' })).status).toBe(403);
    expect(client.decisions.map(({ request }) => request.attributes)).toEqual([
      { ip: '10.0.0.7', tenant: 'rule' },
      { ip: '10.0.0.7', tenant: 'module' },
    ]);
    // What is known of people is not for the log of an application.
    expect(logged.join()).toContain('[{"type":"user","id":"tomas"},"read",{"type":"lab-result","id":""}]');
    expect(logged.join()).not.toContain('salary');
  });

  it('tokens are with every question as they were signed, and what is none is a deny', async () => {
    const asked: unknown[] = [];
    const allow = { allowed: true, decision: 'allow', reason: { code: 'rule_allowed' }, obligations: [], errors: [] };
    const client = {
      decide: async (question: object) => {
        asked.push(question);
        return allow;
      },
    } as unknown as MockVerdict;
    const tokens = ({ request }: { request?: { headers: Record<string, string> } | undefined }) => {
      const sent = request?.headers.authorization;
      return sent === undefined ? undefined : { user: sent === 'number' ? (7 as never) : sent.slice(7) };
    };
    const { get } = await start([VerdictModule.forRoot({ client, user: () => ({ id: 'dana' }), tokens })]);
    expect((await get('/lab-results/L-2231', { authorization: 'Bearer eyJ' })).status).toBe(200);
    expect((await get('/lab-results/L-2231')).status).toBe(200);
    expect((await get('/lab-results/L-2231', { authorization: 'number' })).status).toBe(403);
    expect(asked).toEqual([
      expect.objectContaining({ tokens: { user: 'eyJ' } }),
      expect.not.objectContaining({ tokens: expect.anything() }),
    ]);
  });

  it('tokens do not start an application that decides in its own process', async () => {
    const local = {
      mode: 'local',
      baseUrl: 'http://127.0.0.1:9',
      policySets: ['default'],
      tokens: () => ({ user: 'eyJ' }),
    } as const;
    await expect(start([VerdictModule.forRoot(local)])).rejects.toThrow("not with mode 'local'");
  });

  it('can be made by a class', async () => {
    @Injectable()
    class Options {
      create(): VerdictModuleOptions {
        return { client: mock(), ...byHeader };
      }
    }
    const { get } = await start([VerdictModule.forRootAsync({ useClass: Options })]).catch((error) => error);
    // A user that is a text has no id, sub or userId.
    expect((await get('/lab-results/L-2231', { 'x-user': 'dana' })).status).toBe(403);
  });

  it('onUnavailable makes no answer a deny', async () => {
    const client = MockVerdict.load('policies', { policySet: 'default', onUnavailable: 'deny' });
    client.isDown = true;
    const { get, logged } = await start([VerdictModule.forRoot({ client, user: () => ({ id: 'dana' }) })]);
    expect((await get('/lab-results/L-2231')).status).toBe(403);
    expect(await get('/lab-results/of/lab-result')).toEqual({ status: 200, body: [] });
    expect(logged).toContain('items are left out: there was no answer');
  });

  it('of a request stop the start: Nest would run no global guard', async () => {
    const options = { inject: [REQUEST], useFactory: () => ({ client: mock() }) };
    // NestJS 12 says so itself; what releases of 11 do not see is seen by the rules, here without the guard.
    await expect(start([VerdictModule.forRootAsync(options)])).rejects.toThrow('request-scoped');
    @Controller()
    class Nothing {}
    class RulesAlone {}
    Module({ providers: [HandlerRules, { provide: settingsToken, ...options }] })(RulesAlone);
    await expect(start([RulesAlone], Nothing)).rejects.toThrow('inject nothing that is request-scoped');
  });

  it('that cannot be meant stop the start', async () => {
    const slip = { mode: 'Local', baseUrl: 'http://127.0.0.1:1' } as unknown as VerdictModuleOptions;
    await expect(start([VerdictModule.forRoot(slip)])).rejects.toThrow("mode is 'http' or 'local'");
    await expect(start([VerdictModule.forRoot({} as VerdictModuleOptions)])).rejects.toThrow('baseUrl');
  });
});

it('filters with one call, and with none where there is nothing', async () => {
  const client = mock();
  let calls = 0;
  const counted = {
    decide: client.decide.bind(client),
    decideMany: (requests: Parameters<typeof client.decideMany>[0]) => {
      calls++;
      return client.decideMany(requests);
    },
  };
  const { get } = await start([VerdictModule.forRoot({ client: counted })]);
  expect((await get('/lab-results/of/lab-result%20secret%20lab-result')).body).toEqual(['lab-result', 'lab-result']);
  expect(calls).toBe(1);
  expect((await get('/lab-results/of/%20')).body).toEqual([]);
  expect(calls).toBe(1);
});

it('hands the trace of a request on, and what is none not', async () => {
  const client = mock();
  const traces: unknown[] = [];
  const decide: typeof client.decide = (request, options) => {
    traces.push(options?.traceparent);
    return client.decide(request, options);
  };
  const source = { decide, decideMany: client.decideMany.bind(client) };
  const { get } = await start([VerdictModule.forRoot({ client: source, user: () => ({ id: 'dana' }) })]);
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  expect((await get('/lab-results/L-2231', { traceparent })).status).toBe(200);
  expect((await get('/lab-results/L-2231')).status).toBe(200);
  expect(traces).toEqual([traceparent, undefined]);
});

describe('obligations', () => {
  const stepUp = { id: 'mfa', type: 'step-up', properties: { acr_value: 'loa:3' } };
  const tell = { id: 'tell', type: 'notification', properties: { to: 'boss', body: 'b' } };
  const client = (obligations: readonly unknown[], allowed = true) =>
    ({
      decide: async () => ({
        allowed,
        decision: allowed ? 'allow' : 'deny',
        reason: { code: 'x' },
        obligations,
        errors: [],
      }),
      decideMany: async (requests: readonly { resource: { type: string } }[]) =>
        requests.map(({ resource }) => ({
          allowed,
          reason: { code: 'x' },
          obligations: resource.type === 'plain' ? [] : obligations,
          errors: [],
        })),
    }) as unknown as MockVerdict;
  const ask = async (obligations: readonly unknown[], handlers?: object, allowed = true) => {
    const options = {
      client: client(obligations, allowed),
      user: () => ({ id: 'dana' }),
      ...(handlers && { obligations: handlers }),
    };
    const { get, logged } = await start([VerdictModule.forRoot(options as VerdictModuleOptions)]);
    const answer = await get('/lab-results/L-2231');
    return { status: answer.status, body: answer.body, logged: logged.join(), get };
  };

  it('are for the application where the module has no handlers', async () => {
    expect((await ask([stepUp])).status).toBe(200);
  });

  it('are handed to the handlers of their types, with the decision and the call', async () => {
    const seen: unknown[] = [];
    const handler = (
      obligation: object,
      { decision, call }: { decision: { reason: { code: string } }; call?: { user: object } },
    ) => {
      seen.push([obligation, decision.reason.code, call?.user]);
    };
    const { status } = await ask([stepUp, tell, 'log', { id: 'own', note: 1 }], {
      'step-up': handler,
      notification: handler,
      custom: handler,
    });
    expect(status).toBe(200);
    expect(seen).toEqual([
      [stepUp, 'x', { id: 'dana' }],
      [tell, 'x', { id: 'dana' }],
      [{ id: 'obligation-3', type: 'custom', properties: { obligation: 'log' } }, 'x', { id: 'dana' }],
      [{ id: 'own', type: 'custom', properties: { obligation: { id: 'own', note: 1 } } }, 'x', { id: 'dana' }],
    ]);
  });

  it.each<[string, readonly unknown[], object]>([
    ['has no handler', [stepUp], {}],
    ['has a handler on the prototype alone', [{ ...stepUp, type: 'toString' }], {}],
    ['has something else than a handler', [stepUp], { 'step-up': true }],
    ['is not in the form of its type', [{ type: 'step-up' }], { 'step-up': () => true, custom: () => true }],
    ['has a handler that gives false', [stepUp], { 'step-up': async () => false }],
    [
      'has a handler that throws',
      [stepUp],
      {
        'step-up': () => {
          throw new Error('no mail today\nforged line');
        },
      },
    ],
  ])('refuse where one %s', async (_what, obligations, handlers) => {
    const { status, body, logged } = await ask(obligations, handlers);
    expect({ status, message: body.message }).toEqual({ status: 403, message: 'Forbidden resource' });
    expect(logged).toContain('is denied');
    expect(logged).not.toContain('\nforged line');
  });

  it('are fulfilled as far as they can be, also with a deny, which stays one', async () => {
    const told: string[] = [];
    const notification = ({ id }: { id: string }) => void told.push(id);
    expect((await ask([stepUp, tell], { notification })).status).toBe(403);
    expect((await ask([tell], { notification }, false)).status).toBe(403);
    expect(told).toEqual(['tell', 'tell']);
  });

  it('may be answered by an exception of Nest, after all of them were tried', async () => {
    const told: string[] = [];
    const { status, body } = await ask([stepUp, tell], {
      'step-up': () => {
        throw new UnauthorizedException('a second factor is needed');
      },
      notification: ({ id }: { id: string }) => void told.push(id),
    });
    expect({ status, message: body.message }).toEqual({ status: 401, message: 'a second factor is needed' });
    expect(told).toEqual(['tell']);
  });

  it('of lists are fulfilled once, and leave out what they are not fulfilled for', async () => {
    const told: string[] = [];
    const notification = ({ id }: { id: string }) => void told.push(id);
    const list = async (obligations: readonly unknown[], handlers?: object) => {
      const { get } = await ask(obligations, handlers);
      return (await get('/lab-results/of/plain%20one%20two')).body;
    };
    expect(await list([tell], { notification })).toEqual(['plain', 'one', 'two']);
    expect(told).toEqual(['tell', 'tell']);
    expect(await list([tell, stepUp], { notification })).toEqual(['plain']);
    expect(await list([stepUp])).toEqual(['plain', 'one', 'two']);
  });
});

describe('functions of a rule', () => {
  it('run one after the other: none is left running where another fails, and none runs for what is no id', async () => {
    const ran: string[] = [];
    const fails = (name: string) => async () => {
      ran.push(name);
      throw new NotFoundException('secret');
    };
    @Controller()
    class Failing {
      @Get('both')
      @Authorize('read', 'lab-result', {
        id: () => 'L-2231',
        attributes: fails('attributes'),
        environment: () => {
          throw new Error('secret');
        },
      })
      both() {}

      @Get('no-id')
      @Authorize('read', 'lab-result', { id: async () => undefined, attributes: fails('attributes of nothing') })
      noId() {}
    }
    const { get } = await start([VerdictModule.forRoot({ client: mock(), user: () => ({ id: 'dana' }) })], Failing);
    // Also an exception of Nest: who may not know that there is nothing is told what others are told.
    expect(await get('/both')).toMatchObject({ status: 403, body: { message: 'Forbidden resource' } });
    expect((await get('/no-id')).status).toBe(400);
    expect(ran).toEqual(['attributes']);
  });
});

describe('a rule', () => {
  it('is closed where nobody imported the module', async () => {
    const { get, logged } = await start([
      {
        module: class Other {},
        global: true,
        providers: [{ provide: VerdictService, useValue: {} }],
        exports: [VerdictService],
      },
    ]);
    expect((await get('/lab-results/L-2231')).status).toBe(403);
    expect(logged.join()).toContain('import VerdictModule');
  });

  it('is one for a handler, of a method or a class, with texts', () => {
    const method = (...decorators: MethodDecorator[]) => {
      class Anything {
        handle() {}
      }
      const descriptor = Object.getOwnPropertyDescriptor(Anything.prototype, 'handle')!;
      for (const decorate of decorators) decorate(Anything.prototype, 'handle', descriptor);
    };
    const two = 'Anything.handle has two of @Authorize and @Public';
    expect(() => method(Authorize('read', 'doc'), Authorize('write', 'doc'))).toThrow(two);
    expect(() => method(Authorize('read', 'doc'), Public())).toThrow(two);
    expect(() => method(Public(), Authorize('read', 'doc'))).toThrow(two);
    class Twice {}
    Public()(Twice);
    expect(() => Authorize('read', 'doc')(Twice)).toThrow('Twice has two of');
    // As of a class that extends it.
    class Extends extends Twice {}
    Authorize('read', 'doc')(Extends);
    expect(() => Authorize('', 'doc')).toThrow(TypeError);
    expect(() => Authorize('read', undefined as unknown as string)).toThrow(TypeError);
    expect(() => Public()(Twice.prototype, 'property', undefined as never)).toThrow('is no method and no class');
  });

  it('of a controller that is offered as a provider too is that of the controller', async () => {
    @Module({ providers: [LabResults] })
    class Elsewhere {}
    const { get } = await start([VerdictModule.forRoot({ client: mock(), user: () => ({ id: 'dana' }) }), Elsewhere]);
    expect((await get('/lab-results/L-2231')).body).toEqual(dana);
  });
});

it('a field that no query is above is refused, whatever its root type is called, and one of a class that asks is asked about', async () => {
  const field = SetMetadata('graphql:resolve_property', true);
  @Injectable()
  class Root {
    @field
    secrets() {
      return 'reached';
    }
  }
  @Injectable()
  @Authorize('read', 'lab-result', { id: () => 'L-2231' })
  class LabResultFields {
    @field
    values() {
      return 'reached';
    }
  }
  @Module({ providers: [Root, LabResultFields] })
  class Fields {}
  const { app, logged } = await start([VerdictModule.forRoot({ client: mock() }), Fields]);
  const resolve = (type: Type, name: string, user: string, path: object) => {
    const instance = app.get(type);
    const creator = app.get(ExternalContextCreator);
    const context = { req: { user: { id: user } } };
    const none = undefined;
    return creator
      .create(
        instance,
        instance[name],
        name,
        none,
        none,
        none,
        none,
        none,
        'graphql',
      )({}, {}, context, { path })
      .catch(({ status }: { status: number }) => status);
  };
  const [top, below] = [
    { key: 'it', prev: undefined },
    { key: 'it', prev: { key: 'above', prev: undefined } },
  ];
  expect(await resolve(Root, 'secrets', 'dana', below)).toBe('reached');
  expect(await resolve(Root, 'secrets', 'dana', top)).toBe(403);
  expect(logged.join()).toContain('Root.secrets is refused: it is a field that no query is above');
  expect(await resolve(LabResultFields, 'values', 'dana', below)).toBe('reached');
  expect(await resolve(LabResultFields, 'values', 'tomas', below)).toBe(403);
});

it('a reference of federated GraphQL is what its rule is given', async () => {
  @Injectable()
  class References {
    @SetMetadata('graphql:resolve_reference', true)
    @Authorize('read', 'lab-result', reading)
    resolveReference() {
      return 'reached';
    }
  }
  @Module({ providers: [References] })
  class Federated {}
  const { app } = await start([VerdictModule.forRoot({ client: mock() }), Federated]);
  const instance = app.get(References);
  const none = undefined;
  const resolve = app
    .get(ExternalContextCreator)
    .create(instance, instance.resolveReference, 'resolveReference', none, none, none, none, none, 'graphql');
  const context = (id: string) => ({ req: { user: { id } } });
  const info = {};
  expect(await resolve({ id: 'L-2231' }, context('dana'), info)).toBe('reached');
  expect(app.get(VerdictService).decisionOf(info)?.reason.code).toBe('rule_allowed');
  await expect(resolve({ id: 'L-2231' }, context('tomas'), {})).rejects.toMatchObject({ status: 403 });
  await expect(resolve({}, context('dana'), {})).rejects.toMatchObject({ status: 400 });
});

it('a public handler of a base stays public, in whatever order its classes are', async () => {
  class Base {
    @Get('shared')
    shared() {
      return { reached: true };
    }
  }
  @Controller('open')
  @Public()
  class Open extends Base {}
  @Controller('closed')
  @Authorize('read', 'lab-result')
  class Closed extends Base {}
  for (const controllers of [
    [Open, Closed],
    [Closed, Open],
  ]) {
    @Module({ controllers })
    class Shared {}
    const { get } = await start([VerdictModule.forRoot({ client: mock() }), Shared]);
    expect((await get('/open/shared')).status).toBe(200);
    expect((await get('/closed/shared')).status).toBe(401);
  }
});

describe('the log', () => {
  it.each([
    ['a line of its own', () => new Error('none\n[Nest] forged\u2028\u009b'), 'none\\u000a[Nest] forged\\u2028\\u009b'],
    ['what is no text', () => Object.create(null), 'something was thrown that is no error'],
  ])('is not forged or stopped by %s', async (_, thrown, said) => {
    @Controller()
    class Throwing {
      @Get('throws')
      @Authorize('read', 'lab-result', {
        attributes: () => {
          throw thrown();
        },
      })
      throws() {}
    }
    const { get, logged } = await start(
      [VerdictModule.forRoot({ client: mock(), user: () => ({ id: 'dana' }) })],
      Throwing,
    );
    expect((await get('/throws')).status).toBe(403);
    expect(logged.join()).toContain(`Throwing.throws is refused (403): the question could not be made: ${said}`);
    expect(logged.join()).not.toMatch(/^\[Nest\] forged/m);
  });
});

it('two handlers of one message have each its own decision', async () => {
  const both = SetMetadata('microservices:pattern', ['it']);
  @Controller()
  class Handlers {
    @both
    @Authorize('read', 'lab-result', { id: () => 'L-2231' })
    first() {}

    @both
    @Public()
    second() {}
  }
  const { app } = await start([VerdictModule.forRoot({ client: mock(), user: () => ({ id: 'dana' }) })], Handlers);
  const [guard, verdict] = [app.get(VerdictGuard), app.get(VerdictService)];
  const message = [{}, {}];
  const contextOf = (handler: () => void) => {
    const context = new ExecutionContextHost(message, Handlers, handler);
    context.setType('rpc');
    return context;
  };
  const [first, second] = [contextOf(Handlers.prototype.first), contextOf(Handlers.prototype.second)];
  expect(guard.canActivate(first)).toBe(true);
  for (const each of Reflect.getMetadata('__guards__', Handlers.prototype.first))
    expect(await each.canActivate(first)).toBe(true);
  expect(guard.canActivate(second)).toBe(true);
  expect(verdict.decisionOf(first)?.reason.code).toBe('rule_allowed');
  expect(verdict.decisionOf(second)).toBeUndefined();
});
