import { addressGroup } from '../config/address-list.js';
import type { Allowance, RateLimits } from './rate-limits.js';

/** Tokens not seen before that are verified for a blocked address, a second: about 5 ms of processor time at most. */
export const verificationsWhileBlocked = 50;
/** Addresses remembered at most; of more the oldest goes, and begins anew. */
const maxBlocked = 10_000;

interface Block {
  /** Milliseconds since 1970. */
  until: number;
  /** Which second the verifications were counted in, and how many there were. */
  second: number;
  verifications: number;
}

/**
 * Addresses that failed to authenticate more often than the limit `failures` allows. What is cheap to look at is looked
 * at as before: keys, certificates, sessions, tokens that were verified already. Tokens not seen before, each of which
 * costs a signature, are verified from a small budget of their own, so that a good one gets in from an address where
 * somebody else guesses (behind one gateway or NAT, all share one).
 */
export class FailedAuthentications {
  private readonly blocks = new Map<string, Block>();

  constructor(private readonly limits: RateLimits) {}

  /** Whether a signature may be verified for an address; of a blocked one it counts against the budget. */
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

  /** Counts a wrong credential; beyond the limit the address is blocked until the limit is whole again. */
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
