/** What the applications of these tests have in common. It is compiled in a project of its own, as ES modules and as CommonJS. */
import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';

/** In the place of Passport or a JWT guard: the token is the user's name. */
@Injectable()
export class Login implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const [first, second, third] = context.getArgs();
    switch (context.getType<string>()) {
      case 'graphql':
        return login(third.req, third.req.headers.authorization);
      case 'rpc':
        return login(second, first.token);
      case 'ws':
        return login(first, second.token);
      default:
        return login(first, first.headers.authorization);
    }
  }
}

function login(holder: { user?: unknown }, token: unknown): boolean {
  const id = typeof token === 'string' ? token.replace('Bearer ', '') : '';
  holder.user = undefined;
  if (id === 'number') holder.user = { id: 7 };
  else if (id === 'two') holder.user = { id: 'ann', sub: 'ben' };
  else if (id === 'nameless') holder.user = {};
  else if (id !== '') holder.user = { id, password: 'secret' };
  return true;
}

/** Where the application keeps its documents. */
@Injectable()
export class Documents {
  readonly owners: ReadonlyMap<string, string> = new Map([
    ['doc-1', 'ann'],
    ['doc-2', 'ben'],
    ['doc-3', 'ann'],
  ]);

  find(id: string): { owner: string } {
    const owner = this.owners.get(id);
    if (owner === undefined) throw new Error('no such document: secret');
    return { owner };
  }
}
