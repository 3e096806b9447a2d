/** Applications that must not start, each with one handler that is open by mistake. */
import { Controller, Get, Injectable, Module, Post, type Provider, type Type } from '@nestjs/common';
import { Query, ResolveField, ResolveReference, Resolver } from '@nestjs/graphql';
import { EventPattern, MessagePattern } from '@nestjs/microservices';
import { SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { Authorize, Public } from '@verdict/nestjs';

@Controller()
class Undecorated {
  @Get()
  @Public()
  fine() {}

  @Get('a')
  read() {}

  @Post('b')
  write() {}
}

@Public()
class PublicBase {
  @Get()
  read() {}
}
@Controller()
class ExtendsPublic extends PublicBase {}

@Authorize('read', 'doc')
class AuthorizedBase {
  @Get()
  read() {}
}
@Controller()
class ExtendsAuthorized extends AuthorizedBase {}

class MethodBase {
  @Get()
  @Authorize('read', 'doc')
  read() {}
}
@Controller()
class Overrides extends MethodBase {
  @Get()
  override read() {}
}

@Controller()
class Messages {
  @MessagePattern('read')
  read(_: object) {}

  @EventPattern('written')
  written(_: object) {}
}

@Resolver()
class Queries {
  @Query(() => String)
  read() {
    return '';
  }
}

@Resolver('Doc')
class References {
  @ResolveReference()
  resolveReference() {}
}

@WebSocketGateway()
class Gateway {
  @SubscribeMessage('read')
  read(_: object) {}
}

@Resolver('Doc')
class Fields {
  @ResolveField(() => String)
  @Authorize('read', 'doc')
  title() {
    return '';
  }
}

@Injectable()
class Service {
  @Authorize('read', 'doc')
  read() {}
}

/** Nothing is above a field of the query. */
@Resolver('Query')
class RootFields {
  @ResolveField('secrets')
  secrets() {
    return [];
  }
}

@Authorize('read', 'vault')
@Resolver('Vault')
class ClassFields {
  @ResolveField(() => String)
  content() {
    return '';
  }
}

@Injectable()
@Authorize('read', 'payroll')
class Payroll {
  read() {}
}

function Logged(): MethodDecorator {
  return (_target, _name, descriptor: PropertyDescriptor) => {
    const { value } = descriptor;
    descriptor.value = function logged(this: unknown, ...args: unknown[]) {
      return value.apply(this, args);
    };
  };
}

@Controller()
@Public()
class Wrapped {
  @Get()
  @Logged()
  @Authorize('delete', 'doc')
  remove() {}
}
@Controller()
@Public()
class ExtendsWrapped extends Wrapped {}

class Factory {
  @SubscribeMessage('read')
  read(_: object) {}
}

const providers = (...list: Provider[]) => ({ providers: list, controllers: [] as Type[] });
const controllers = (...list: Type[]) => ({ providers: [] as Provider[], controllers: list });

export const openModules = {
  undecorated: controllers(Undecorated),
  'of a public base': controllers(ExtendsPublic),
  'of an authorized base': controllers(ExtendsAuthorized),
  overridden: controllers(Overrides),
  messages: controllers(Messages),
  queries: providers(Queries),
  references: providers(References),
  gateways: providers(Gateway),
  fields: providers(Fields, { provide: 'GqlModuleOptions', useValue: {} }),
  'fields of a root type': providers(RootFields),
  'fields of a class that asks': providers(ClassFields, { provide: 'GqlModuleOptions', useValue: {} }),
  services: providers(Service),
  'a class without handlers': providers(Payroll),
  wrapped: controllers(Wrapped),
  'of a wrapped base': controllers(ExtendsWrapped),
  'made by a factory': providers({ provide: 'gateway', useFactory: () => new Factory() }),
};

export function moduleOf(name: keyof typeof openModules): Type {
  class OpenModule {}
  Module(openModules[name])(OpenModule);
  return OpenModule;
}
