import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { ScopeName } from '../auth/scopes.js';

/** The policy sets that the caller may see by a scope; undefined for all of them. It is handed to the query as it is. */
export const VisibleSets = createParamDecorator(
  (scope: ScopeName, context: ExecutionContext): readonly string[] | undefined => {
    const sets = context.switchToHttp().getRequest<FastifyRequest>().caller.grants.policySets(scope);
    return sets === 'all' ? undefined : sets;
  },
);
