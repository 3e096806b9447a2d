import {
  All,
  Body,
  Controller,
  Delete,
  Get,
  Inject,
  Injectable,
  Module,
  Param,
  Post,
  Put,
  Query,
  Req,
  Scope,
  Sse,
  UseGuards,
  Version,
} from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import type { Decision } from '@verdict/client';
import { Authorize, Decided, Public, Subject, VerdictService } from '@verdict/nestjs';
import { of } from 'rxjs';
import { Documents, Login } from './parts.js';

const byId = { id: 'id' };

/** As the query of a database may be: no promise, and run when it is waited for. */
class Found {
  constructor(private readonly owner: string) {}

  // biome-ignore lint/suspicious/noThenProperty: this is what is tested
  then(resolve: (found: object) => void) {
    resolve({ owner: this.owner });
  }
}

@Controller('docs')
@UseGuards(Login)
export class DocsController {
  constructor(
    @Inject(VerdictService) private readonly verdict: VerdictService,
    @Inject(Documents) private readonly documents: Documents,
  ) {}

  @Get()
  @Authorize('list', 'doc')
  list(@Subject() subject: { type: string; id: string }) {
    const items = [...this.documents.owners, ['bad\u0007', 'ann'] as const, ['throws', 'ann'] as const];
    return this.verdict
      .filter(items.reverse(), {
        subject,
        action: 'read',
        resource: ([id, owner]) => {
          if (id === 'throws') throw new Error('secret');
          return { type: 'doc', id, attributes: { owner } };
        },
        environment: { tenant: 'acme' },
      })
      .then((found) => found.map(([id]) => id));
  }

  @Get(':id')
  @Authorize('read', 'doc', {
    id: ({ id }) => id,
    attributes: async ({ id }, { get }) => get(Documents).find(id),
    environment: () => ({ tenant: 'acme' }),
  })
  read(@Param('id') id: string, @Subject() subject: object, @Decided() decision: Decision, @Req() request: object) {
    const { reason, obligations } = decision;
    return {
      id,
      subject,
      reason: reason.code,
      obligations,
      isSame: this.verdict.decisionOf(request) === decision && this.verdict.subjectOf(request) === subject,
    };
  }

  @Put(':id')
  @Authorize('read', 'doc', { ...byId, attributes: ({ id }, { get }) => get(Documents).find(id) })
  withoutTenant() {
    return 'reached';
  }

  @Post('claims/:id')
  @Authorize('read', 'doc', {
    ...byId,
    attributes: (_, { request }) => request.body,
    environment: () => ({ tenant: 'acme' }),
  })
  claim(@Body() body: unknown) {
    return { reached: body };
  }

  @Get('by/query')
  @Authorize('open', 'doc', { id: (_, { request }) => request.query.id })
  byQuery(@Query('id') id: unknown) {
    return { reached: id };
  }

  @Get('open/:id')
  @Authorize('open', 'doc', byId)
  open(@Param('id') id: string) {
    return { reached: id };
  }

  @Get('inherited/parameter')
  @Authorize('open', 'doc', { id: 'constructor' })
  inheritedParameter() {
    return 'reached';
  }

  @Get('proto/parameter')
  @Authorize('open', 'doc', { id: '__proto__' })
  protoParameter() {
    return 'reached';
  }

  @Get('object/parameter')
  @Authorize('open', 'doc', { id: (params) => params.toString })
  functionParameter() {
    return 'reached';
  }

  @Get('none/parameter')
  @Authorize('open', 'doc', { id: ({ missing }) => missing })
  missing() {
    return 'reached';
  }

  @Get('text/parameter')
  @Authorize('open', 'doc', { id: ({ missing }) => `${missing}` })
  undefinedAsText() {
    return 'reached';
  }

  @Get('number/parameter')
  @Authorize('open', 'doc', { id: () => 7 })
  number() {
    return 'reached';
  }

  @Get('long/parameter')
  @Authorize('open', 'doc', { id: () => 'x'.repeat(1_025) })
  long() {
    return 'reached';
  }

  @Get('throws/id')
  @Authorize('open', 'doc', {
    id: () => {
      throw new Error('secret');
    },
  })
  throwsId() {
    return 'reached';
  }

  @Get('rejects/id')
  @Authorize('open', 'doc', { id: () => Promise.reject(new Error('secret')) })
  rejectsId() {
    return 'reached';
  }

  @Get('rejects/attributes')
  @Authorize('open', 'doc', { id: () => 'doc-1', attributes: async () => Promise.reject(new Error('secret')) })
  rejectsAttributes() {
    return 'reached';
  }

  @Get('list/attributes')
  @Authorize('open', 'doc', { id: () => 'doc-1', attributes: () => ['owner'] })
  listAsAttributes() {
    return 'reached';
  }

  @Get('text/environment')
  @Authorize('open', 'doc', { id: () => 'doc-1', environment: () => 'acme' as never })
  textAsEnvironment() {
    return 'reached';
  }

  @Get('unknown/set')
  @Authorize('open', 'doc', { id: () => 'doc-1', policySet: 'nowhere' })
  unknownSet() {
    return 'reached';
  }

  @Get('late/attributes')
  @Authorize('read', 'doc', {
    id: () => 'doc-1',
    attributes: () => new Found('ann') as never,
    environment: () => ({ tenant: 'acme' }),
  })
  thenable() {
    return 'reached';
  }

  @Get('asked/within')
  @Authorize('list', 'doc')
  async within(@Subject() subject: { type: string; id: string }) {
    const question = { subject, action: 'open', resource: { type: 'doc', id: 'doc-1' } };
    const { reason } = await this.verdict.decide(question);
    return { can: await this.verdict.can(question), reason: reason.code };
  }

  @Delete(':id')
  @Authorize('delete', 'doc', byId)
  remove() {
    return 'reached';
  }

  @Sse('events/:id')
  @Authorize('open', 'doc', byId)
  events() {
    return of({ data: 'reached' });
  }

  @All('all/:id')
  @Authorize('open', 'doc', byId)
  all() {
    return 'reached';
  }

  @Public()
  @Get('open/to/all')
  toAll(@Subject() subject: unknown, @Decided() decision: unknown) {
    return { isAsked: subject !== undefined || decision !== undefined };
  }
}

/** Guards of a method, on either side. */
@Controller('orders')
export class OrdersController {
  @Get('above/:id')
  @UseGuards(Login)
  @Authorize('open', 'doc', byId)
  above() {
    return 'reached';
  }

  @Get('below/:id')
  @Authorize('open', 'doc', byId)
  @UseGuards(Login)
  below() {
    return 'reached';
  }

  @Authorize('open', 'doc', byId)
  @Get('outside/:id')
  @UseGuards(Login)
  outside() {
    return 'reached';
  }

  @Get('nobody/:id')
  @Authorize('open', 'doc', byId)
  nobody() {
    return 'reached';
  }
}

/** The class asks before its own guard authenticates, and before that of a method. */
@Authorize('open', 'doc', byId)
@UseGuards(Login)
@Controller('classes')
export class ClassController {
  @Get(':id')
  one() {
    return 'reached';
  }

  @Get('own/:id')
  @Authorize('delete', 'doc', byId)
  own() {
    return 'reached';
  }

  @Get('public/:id')
  @Public()
  open() {
    return 'reached';
  }
}

@UseGuards(Login)
@Authorize('open', 'doc', byId)
@Controller('classes-2')
export class OtherClassController {
  @Get(':id')
  one() {
    return 'reached';
  }
}

@Authorize('open', 'doc', byId)
@Controller('classes-3')
export class MethodLoginController {
  @Get(':id')
  @UseGuards(Login)
  one() {
    return 'reached';
  }
}

/** A public base: what extends it is not public. */
@Public()
@UseGuards(Login)
export class BaseController {
  @Get('inherited/:id')
  inherited() {
    return 'reached';
  }

  @Get('stated/:id')
  @Authorize('delete', 'doc', byId)
  stated() {
    return 'reached';
  }

  @Get('overridden/:id')
  @Public()
  overridden() {
    return 'reached';
  }

  @Get('dropped/:id')
  @Public()
  dropped() {
    return 'reached';
  }
}

@Controller('derived')
@Authorize('open', 'doc', byId)
export class DerivedController extends BaseController {
  @Get('overridden/:id')
  override overridden() {
    return 'reached';
  }

  /** No route by now. */
  override dropped() {
    return 'reached';
  }
}

@Controller('public')
@Public()
export class PublicController extends DerivedController {}

@Controller({ path: 'versioned', version: ['1', '2'] })
@UseGuards(Login)
export class VersionedController {
  @Get(':id')
  @Authorize('open', 'doc', byId)
  one() {
    return 'reached';
  }

  @Version('3')
  @Get(':id')
  @Authorize('delete', 'doc', byId)
  three() {
    return 'reached';
  }
}

/** A new one for each request, and so is the controller that has it. */
@Injectable({ scope: Scope.REQUEST })
export class Situation {
  constructor(
    @Inject(REQUEST) private readonly request: object,
    @Inject(VerdictService) private readonly verdict: VerdictService,
  ) {}

  get reason() {
    return this.verdict.decisionOf(this.request)?.reason.code;
  }
}

@Controller('scoped')
@UseGuards(Login)
export class ScopedController {
  constructor(@Inject(Situation) private readonly situation: Situation) {}

  @Get(':id')
  @Authorize('open', 'doc', byId)
  one() {
    return { reason: this.situation.reason };
  }
}

@Module({
  controllers: [
    DocsController,
    OrdersController,
    ClassController,
    OtherClassController,
    MethodLoginController,
    DerivedController,
    PublicController,
    VersionedController,
    ScopedController,
  ],
  providers: [Documents, Situation],
})
export class HttpModule {}
