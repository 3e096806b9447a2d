/** Which times of a client are taken. */
import { forgottenMs } from '../../decision-log/local/local-instances.js';
import { VerdictError } from '../../errors.js';
import type { SentLoss } from './sent-records.js';

/** Most difference between the clocks of a client and of the service, in milliseconds. */
export const mostClockDifferenceMs = 300_000;

/** Why the time of a decision is not taken. */
export function refusalOfTime(decidedAt: number, now: number): VerdictError | undefined {
  if (decidedAt > now + mostClockDifferenceMs) return clockOff('decidedAt', decidedAt - now);
  return decidedAt < now - forgottenMs ? decidedTooEarly() : undefined;
}

/** No instance is remembered for so long: it was recorded before, or its time is made up. */
function decidedTooEarly(): VerdictError {
  const detail = `decidedAt is more than ${forgottenMs / 86_400_000} days behind the service's clock`;
  return new VerdictError('clock_off', `The decision is too old: ${detail}.`, {
    errors: [{ pointer: '/decidedAt', detail }],
  });
}

/** Its numbers are used up all the same. */
export function refusalOfLoss({ from, to }: SentLoss, now: number): VerdictError | undefined {
  if (from < 0 || from > to)
    return new VerdictError('invalid_request', 'The times of the loss are before 1970, or not in their order.');
  return to > now + mostClockDifferenceMs ? clockOff('to', to - now) : undefined;
}

/** @throws VerdictError `clock_off` */
export function refuseClock(sentAt: number, now: number): void {
  if (Math.abs(sentAt - now) > mostClockDifferenceMs) throw clockOff('sentAt', sentAt - now);
}

/** @param aheadMs how far it is ahead of the service's clock, in milliseconds */
function clockOff(member: 'sentAt' | 'decidedAt' | 'to', aheadMs: number): VerdictError {
  const off = `${Math.round(Math.abs(aheadMs) / 1_000)} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the service's clock`;
  const detail = `${member} is ${off}; it may be ${mostClockDifferenceMs / 1_000} s off`;
  return new VerdictError('clock_off', `The clock of the client is wrong: ${detail}.`, {
    errors: [{ pointer: `/${member}`, detail }],
  });
}
