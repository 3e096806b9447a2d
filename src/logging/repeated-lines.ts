import type { LoggerOptions } from 'pino';

type LogMethod = NonNullable<NonNullable<LoggerOptions['hooks']>['logMethod']>;

const windowMs = 60_000;
/** Most kinds of lines that are distinguished; all further lines are one kind. */
const maxKinds = 1_000;
/** Number of the level `error` in pino. */
const errorLevel = 50;
const fatalLevel = 60;

interface Kind {
  suppressed: number;
  last: () => void;
}

/**
 * A hook of pino: writes equal lines of level `error` once a minute. The next one says in `suppressed` how many were
 * left out. So a full disk makes one line a minute, and not one for each request.
 *
 * Two lines say the same when their texts agree, numbers aside, and they are about the same policy set and error code.
 */
export function suppressRepeats(): LogMethod {
  const kinds = new Map<string, Kind>();

  function closeWindow(name: string): void {
    const kind = kinds.get(name);
    if (kind === undefined || kind.suppressed === 0) {
      kinds.delete(name);
      return;
    }
    const { last } = kind;
    setTimeout(closeWindow, windowMs, name).unref();
    last();
    kind.suppressed = 0;
  }

  return function log(args, method, level) {
    if (level < errorLevel || level >= fatalLevel) return method.apply(this, args);
    const known = kindOf(args);
    const name = kinds.has(known) || kinds.size < maxKinds ? known : 'others';
    const kind = kinds.get(name);
    if (kind === undefined) {
      kinds.set(name, { suppressed: 0, last: () => undefined });
      setTimeout(closeWindow, windowMs, name).unref();
      return method.apply(this, args);
    }
    kind.suppressed++;
    kind.last = () => method.apply(this, withCount(args, kind.suppressed));
  };
}

function kindOf(args: readonly unknown[]): string {
  const [details, message] = typeof args[0] === 'string' ? [{}, args[0]] : [args[0], args[1]];
  const { policySet, code } = (details ?? {}) as { policySet?: unknown; code?: unknown };
  return JSON.stringify([String(message).replace(/\d+/g, '#').slice(0, 120), policySet, code]);
}

function withCount(args: Parameters<LogMethod>[0], suppressed: number): Parameters<LogMethod>[0] {
  const [first, ...others] = args as [unknown, ...unknown[]];
  const counted = typeof first === 'string' ? [{ suppressed }, first] : [{ ...(first as object), suppressed }];
  return [...counted, ...others] as Parameters<LogMethod>[0];
}
