import {
  BadRequestException,
  type ExecutionContext,
  HttpStatus,
  ServiceUnavailableException,
  UnauthorizedException,
} from '@nestjs/common';

/** Why a call may not pass. The message is for the log; a caller gets the status. */
export class Refusal extends Error {
  constructor(
    readonly status: HttpStatus,
    message: string,
    cause?: unknown,
  ) {
    super(message, { cause });
  }
}

/** Where messages have exceptions of their own: others would be "Internal server error" to their caller. */
const exceptions: Readonly<Record<string, readonly [from: string, name: string]>> = {
  rpc: ['@nestjs/microservices', 'RpcException'],
  ws: ['@nestjs/websockets', 'WsException'],
};

/** Rejects with what the transport of the call makes an answer of. */
export async function refusalFor(context: ExecutionContext, status: HttpStatus): Promise<never> {
  const exception = httpException(status);
  const own = exceptions[context.getType<string>()];
  if (own === undefined) throw exception;
  const [from, name] = own;
  // It is there: the message came by it.
  const { [name]: Exception } = (await import(from)) as Record<string, new (error: object) => Error>;
  if (Exception === undefined) throw exception;
  throw new Exception({ status: 'error', statusCode: status, message: exception.message });
}

function httpException(status: HttpStatus) {
  if (status === HttpStatus.UNAUTHORIZED) return new UnauthorizedException();
  return status === HttpStatus.BAD_REQUEST ? new BadRequestException() : new ServiceUnavailableException();
}
