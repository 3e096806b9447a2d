import { addressGroup } from '../config/address-list.js';
import type { Allowance } from './limiters.js';
import type { RateLimits } from './rate-limits.js';

/** Most new tokens a second that are verified, or new sessions looked for, for a blocked address: about 5 ms of work. */
export const verificationsWhileBlocked = 50;
/** Most addresses that are remembered. The oldest is forgotten first and starts again. */
const maxBlocked = 10_000;

interface Block {
  /** Milliseconds since 1970. */
  until: number;
  /** The second that verifications are counted in, and their number. */
  second: number;
  verifications: number;
}

/**
 * Addresses that failed to authenticate more often than the limit `failures` allows. Cheap checks go on as before:
 * keys, certificates, tokens that were verified already, sessions in memory or known. Tokens not seen before, each of which
 * costs a signature, and sessions not seen before that a database has, are looked at from a small budget of their own, so
 * that a valid one is accepted from an address where another client guesses (all clients behind a gateway or NAT share one).
 */
export class FailedAuthentications {
  private readonly blocks = new Map<string, Block>();

  constructor(private readonly limits: RateLimits) {}

  /** True if a signature may be verified, or a session looked for, for an address. For a blocked address it counts against the budget. */
  mayTry(address: string, now = Date.now()): boolean {
    const group = addressGroup(address);
    const block = this.blocks.get(group);
    if (block === undefined) return true;
    if (now >= block.until) {
      this.blocks.delete(group);
      return true;
    }
    const second = Math.floor(now / 1000);
    if (block.second !== second) Object.assign(block, { second, verifications: 0 });
    block.verifications++;
    return block.verifications <= verificationsWhileBlocked;
  }

  /** Counts a wrong credential; beyond the limit the address is blocked until the limit is restored. */
  count(address: string, now = Date.now()): Allowance {
    const group = addressGroup(address);
    const allowance = this.limits.take('failures', group);
    if (allowance.limited) {
      const until = now + allowance.resetSeconds * 1000;
      const block = this.blocks.get(group);
      if (block !== undefined) block.until = until;
      else {
        if (this.blocks.size >= maxBlocked) this.blocks.delete(this.blocks.keys().next().value!);
        this.blocks.set(group, { until, second: 0, verifications: 0 });
      }
    }
    return allowance;
  }
}
