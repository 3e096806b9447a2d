/** Targets of requests whose path or query names no text: refused by the parameter, on every route. */
import type { FastifyRequest } from 'fastify';
import { faultInName } from '../core/names.js';
import { invalidParameter, VerdictError } from '../errors.js';
import { decodePart, readQuery } from './percent-encoding.js';

/** Put in place of a segment that cannot be read. No route has it, so it matches a parameter or nothing. */
const unreadable = '%EF%BF%BD';

/**
 * The target for the router, which answers a segment that it cannot decode before it looks for a route: then nobody
 * could say which parameter that is. `refusalOfTarget` says it, for the target as it came.
 */
export function routableTarget(target: string): string {
  if (!target.includes('%')) return target;
  const end = target.search(/[?#]|$/);
  const path = target
    .slice(0, end)
    .split('/')
    .map((segment) => (decodePart(segment).fault === undefined ? segment : unreadable));
  return path.join('/') + target.slice(end);
}

/**
 * Why the target is refused: an encoding that is not UTF-8 text, NUL, or a control character in a name that the path holds.
 * No id, name or stored text has them (`core/names.ts`, `http/strict-json.ts`), so they could never match, and a reader
 * that replaced them would read another name. Costs one look at a target without `%`.
 *
 * @returns `invalid_request` with a pointer to the parameter; `malformed_request` where the path has none
 */
export function refusalOfTarget(request: FastifyRequest): VerdictError | undefined {
  const { originalUrl, routeOptions } = request;
  // What a gateway's client asks for: the server behind the gateway may take it, and the gateway's mapping judges it.
  if (routeOptions.config?.clientTarget === true) return undefined;
  return originalUrl.includes('%') ? (faultInPath(originalUrl, request) ?? faultInQuery(originalUrl)) : undefined;
}

/** Whether a parameter of a path may hold control characters: files may be called anything; ids, names and versions may not. */
export function mayHoldAnything(parameter: string): boolean {
  return parameter === 'path';
}

function faultInPath(target: string, { routeOptions, is404 }: FastifyRequest): VerdictError | undefined {
  const names = is404 ? [] : (routeOptions.url ?? '').split('/');
  for (const [index, segment] of target
    .slice(0, target.search(/[?#]|$/))
    .split('/')
    .entries()) {
    const decoded = decodePart(segment);
    const [, name] = /^:(\w+)$/.exec(names[index] ?? '') ?? [];
    const fault =
      decoded.fault ?? (name === undefined || mayHoldAnything(name) ? undefined : faultInName(decoded.text));
    if (fault === undefined) continue;
    const detail = `The path is not valid: ${name ?? 'it'} holds ${fault}.`;
    if (name === undefined) return new VerdictError('malformed_request', detail);
    return new VerdictError('invalid_request', detail, { errors: [{ pointer: `/${name}`, detail: `holds ${fault}` }] });
  }
  return undefined;
}

function faultInQuery(target: string): VerdictError | undefined {
  const start = target.indexOf('?');
  if (start < 0) return undefined;
  for (const { name, value } of readQuery(target.slice(start + 1))) {
    if (value.fault !== undefined) return invalidParameter(name, `holds ${value.fault}`);
    if (value.text.includes('\0')) return invalidParameter(name, 'holds NUL');
  }
  return undefined;
}
