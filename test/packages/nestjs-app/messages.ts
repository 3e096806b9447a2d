/** Everything but plain HTTP: GraphQL, messages of a microservice, a gateway. */
import { Controller, Module, UseGuards } from '@nestjs/common';
import { Args, Field, ID, Mutation, ObjectType, Parent, Query, ResolveField, Resolver } from '@nestjs/graphql';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import type { Decision } from '@verdict/client';
import { Authorize, Decided, Public, Subject, VerdictGuard } from '@verdict/nestjs';
import { Login } from './parts.js';

const byId = { id: 'id' };

@ObjectType()
export class Doc {
  @Field(() => ID)
  id!: string;

  @Field()
  subject!: string;

  @Field()
  reason!: string;

  @Field()
  title!: string;

  @Field()
  secret!: string;
}

@Resolver(() => Doc)
@UseGuards(Login)
export class DocsResolver {
  @Query(() => Doc)
  @Authorize('open', 'doc', byId)
  doc(@Args('id', { type: () => ID }) id: string, @Subject() subject: { id: string }, @Decided() decision: Decision) {
    return { id, subject: subject.id, reason: decision.reason.code };
  }

  @Query(() => Doc, { nullable: true })
  @Authorize('open', 'doc', { id: ({ number }) => number })
  numbered(@Args('number') _: number) {
    return null;
  }

  @Query(() => String)
  @Public()
  hello() {
    return 'hello';
  }

  @Mutation(() => String)
  @Authorize('delete', 'doc', byId)
  remove(@Args('id', { type: () => ID }) id: string) {
    return id;
  }

  /** Reached by a query that was decided. */
  @ResolveField(() => String)
  title(@Parent() { id }: Doc) {
    return `Title of ${id}`;
  }

  @ResolveField(() => String)
  @Authorize('delete', 'doc', { id: (_, { context }) => context.getArgs()[0].id })
  secret() {
    return 'reached';
  }
}

@Controller()
@UseGuards(Login)
export class MessagesController {
  static events: string[] = [];

  @MessagePattern('open')
  @Authorize('open', 'doc', byId)
  open(@Payload() data: { id: string }, @Subject() subject: { id: string }, @Decided() decision: Decision) {
    return { id: data.id, subject: subject.id, reason: decision.reason.code };
  }

  @EventPattern('opened')
  @Authorize('open', 'doc', byId)
  opened(@Payload() data: { id: string; token: string }) {
    MessagesController.events.push(`${data.token} ${data.id}`);
  }

  @MessagePattern('events')
  @Public()
  list() {
    return MessagesController.events;
  }
}

/** NestJS 11 runs no global guard for it. */
@WebSocketGateway({ path: '/ws' })
@UseGuards(VerdictGuard, Login)
export class DocsGateway {
  @SubscribeMessage('open')
  @Authorize('open', 'doc', byId)
  open(@MessageBody() data: { id: string }, @Subject() subject: { id: string }) {
    return { event: 'opened', data: { id: data.id, subject: subject.id } };
  }
}

/** Decided once, and behind the last guard, though the class names the global one again. */
@Controller()
@Authorize('open', 'doc', byId)
@UseGuards(VerdictGuard)
export class TwiceController {
  @MessagePattern('twice')
  @UseGuards(Login)
  open() {
    return 'reached';
  }
}

@Module({ controllers: [MessagesController, TwiceController], providers: [DocsResolver, DocsGateway] })
export class MessagesModule {}
