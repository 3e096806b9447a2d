/** Which requests are traced, as `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` say. */
import { type SpanContext, TraceFlags } from '@opentelemetry/api';

/** Says of a trace, and of the caller's span in it where there is one, whether the request is traced. */
export type IsSampled = (traceId: string, parent: Pick<SpanContext, 'traceFlags'> | undefined) => boolean;

const byDefault = 'parentbased_always_on';
const known = ['always_on', 'always_off', 'traceidratio'];

export function samplerOf(env: NodeJS.ProcessEnv, onProblem: (problem: string) => void): IsSampled {
  let name = env.OTEL_TRACES_SAMPLER?.trim() || byDefault;
  if (!known.includes(name.replace(/^parentbased_/, ''))) {
    onProblem(`OTEL_TRACES_SAMPLER is ${name}, which is not known: ${byDefault} is used`);
    name = byDefault;
  }
  const root = ofTrace(name.replace(/^parentbased_/, ''), env, onProblem);
  if (!name.startsWith('parentbased_')) return root;
  return (traceId, parent) => (parent === undefined ? root(traceId) : (parent.traceFlags & TraceFlags.SAMPLED) !== 0);
}

function ofTrace(
  name: string,
  env: NodeJS.ProcessEnv,
  onProblem: (problem: string) => void,
): (traceId: string) => boolean {
  if (name === 'always_on') return () => true;
  if (name === 'always_off') return () => false;
  const text = env.OTEL_TRACES_SAMPLER_ARG?.trim() || '1';
  const given = Number(text);
  const isRatio = given >= 0 && given <= 1;
  if (!isRatio) onProblem(`OTEL_TRACES_SAMPLER_ARG is ${text}, which is not a number from 0 to 1: all are traced`);
  const bound = Math.floor((isRatio ? given : 1) * 0x1_0000_0000);
  // As OpenTelemetry's SDK for JavaScript does it, so that services with the same ratio take the same traces.
  return (traceId) => {
    let sum = 0;
    for (let i = 0; i < 4; i++) sum ^= Number.parseInt(traceId.slice(i * 8, i * 8 + 8), 16);
    return sum >>> 0 < bound;
  };
}
