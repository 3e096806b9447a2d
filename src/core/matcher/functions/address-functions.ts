/** Verdict's own function for lists of address ranges. */

import { quote } from '../../quote.js';
import type { Json } from '../../request.js';
import type { StepMeter } from '../../step-budget.js';
import { type FunctionDefinition, FunctionError } from './function-definition.js';
import { type IpRange, isInRange, parseIpAddress, parseIpRange, stepsToParseAddress } from './ip-address.js';
import { remember } from './remember.js';

export const addressFunctions: readonly FunctionDefinition[] = [
  {
    name: 'ipInRanges',
    origin: 'verdict',
    summary: 'True when the address lies in one of the ranges: a text with commas between them, or a list.',
    example: 'ipInRanges(r.env.ip, "10.0.0.0/8, 192.168.0.0/16, 2001:db8::/32")',
    parameters: [
      { name: 'address', type: 'string' },
      { name: 'ranges', type: 'any' },
    ],
    returns: 'boolean',
    prepare: (ranges) => {
      const parsed = parseRanges(ranges);
      return (address, meter) => isInRanges(address, parsed, meter);
    },
    stepsToPrepare: stepsToParseRanges,
    call: ([address, ranges], _, meter) => isInRanges(address as string, rangesOf(ranges as Json, meter), meter),
  },
];

/** A list has at most one range for every four characters. IPv6 addresses take longer, and are longer. */
function stepsToParseRanges(ranges: string): number {
  return 20 + 12 * ranges.length;
}

const stepsPerRange = 3;

const recallRanges = remember(parseRanges, stepsToParseRanges);

function rangesOf(ranges: Json, meter: StepMeter): readonly IpRange[] {
  if (typeof ranges === 'string') return recallRanges(ranges, meter);
  if (!Array.isArray(ranges)) throw new FunctionError('ipInRanges: the ranges are neither a text nor a list');
  return ranges.flatMap((range) => {
    if (typeof range !== 'string') throw new FunctionError('ipInRanges: the list holds something that is no text');
    meter.spend(stepsToParseAddress(range));
    return [parseRange(range)];
  });
}

function parseRanges(ranges: string): readonly IpRange[] {
  if (ranges.trim() === '') return [];
  return ranges.split(',').map((range) => parseRange(range.trim()));
}

function parseRange(text: string): IpRange {
  const range = parseIpRange(text);
  if (range === undefined) throw new FunctionError(`ipInRanges: ${quote(text)} is neither an address nor a range`);
  return range;
}

function isInRanges(text: string, ranges: readonly IpRange[], meter: StepMeter): boolean {
  meter.spend(stepsToParseAddress(text) + stepsPerRange * ranges.length);
  const address = parseIpAddress(text);
  if (address === undefined) throw new FunctionError(`ipInRanges: ${quote(text)} is no address`);
  return ranges.some((range) => isInRange(address, range));
}
