/** Verdict's own functions on texts, lists and numbers: defined for all values of their types, in linear time. */
import { parseDuration } from '../../duration.js';
import { quote } from '../../quote.js';
import type { Json } from '../../request.js';
import { type StepMeter, stepsForText } from '../../step-budget.js';
import { describeValue, sameValue } from '../values.js';
import { type FunctionDefinition, FunctionError, type Parameter } from './function-definition.js';
import { findText } from './text-search.js';

const text: Parameter = { name: 'text', type: 'string' };
const twoLists: readonly Parameter[] = [
  { name: 'list', type: 'list' },
  { name: 'other', type: 'list' },
];

/** An item that is looked up among others. */
const stepsPerItem = 30;
/** Listing a member of an object. */
const stepsPerMember = 32;
const stepsToConvert = 20;

export const valueFunctions: readonly FunctionDefinition[] = [
  {
    name: 'size',
    origin: 'verdict',
    summary: 'The number of characters of a text, of items of a list, or of members of an object.',
    example: 'size(r.obj.approvers) >= 2',
    parameters: [{ name: 'value', type: 'any' }],
    returns: 'number',
    call: ([value], _, meter) => sizeOf(value as Json, meter),
  },
  {
    name: 'number',
    origin: 'verdict',
    summary: 'The number that a text writes in decimal; a number stays what it is.',
    example: 'r.obj.amount <= number(p.limit)',
    parameters: [{ name: 'value', type: 'any' }],
    returns: 'number',
    call: ([value], _, meter) => numberOf(value as Json, meter),
  },
  {
    name: 'text',
    origin: 'verdict',
    summary: 'A number or boolean as JSON writes it; a text stays what it is.',
    example: 'r.obj.region == text(r.sub.region)',
    parameters: [{ name: 'value', type: 'any' }],
    returns: 'string',
    call: ([value], _, meter) => textOf(value as Json, meter),
  },
  {
    name: 'lower',
    origin: 'verdict',
    summary: 'The text in lower case, by the rules of Unicode, the same in every language.',
    example: 'lower(r.sub.email) == lower(r.obj.owner)',
    parameters: [text],
    returns: 'string',
    call: ([value], _, meter) => {
      meter.spend(3 * (value as string).length);
      return (value as string).toLowerCase();
    },
  },
  {
    name: 'startsWith',
    origin: 'verdict',
    summary: 'True when the text begins with the other one.',
    example: 'startsWith(r.obj.path, "/public/")',
    parameters: [text, { name: 'beginning', type: 'string' }],
    returns: 'boolean',
    call: ([value, beginning], _, meter) => {
      meter.spend(stepsForText((beginning as string).length));
      return (value as string).startsWith(beginning as string);
    },
  },
  {
    name: 'endsWith',
    origin: 'verdict',
    summary: 'True when the text ends with the other one.',
    example: 'endsWith(r.sub.email, "@example.com")',
    parameters: [text, { name: 'end', type: 'string' }],
    returns: 'boolean',
    call: ([value, end], _, meter) => {
      meter.spend(stepsForText((end as string).length));
      return (value as string).endsWith(end as string);
    },
  },
  {
    name: 'contains',
    origin: 'verdict',
    summary: 'True when a text holds the other one, or a list an item that equals the value.',
    example: 'contains(r.obj.approvers, r.sub)',
    parameters: [
      { name: 'whole', type: 'any' },
      { name: 'part', type: 'any' },
    ],
    returns: 'boolean',
    call: ([whole, part], _, meter) => contains(whole as Json, part as Json, meter),
  },
  {
    name: 'subset',
    origin: 'verdict',
    summary: 'True when each item of the first list is in the second. The items are texts, numbers, booleans or null.',
    example: 'subset(r.obj.labels, r.sub.clearances)',
    parameters: twoLists,
    returns: 'boolean',
    call: ([list, other], _, meter) => {
      const known = itemsOf(other as readonly Json[], 'subset', meter);
      for (const item of itemsOf(list as readonly Json[], 'subset', meter)) if (!known.has(item)) return false;
      return true;
    },
  },
  {
    name: 'intersects',
    origin: 'verdict',
    summary: 'True when an item of the first list is in the second. The items are texts, numbers, booleans or null.',
    example: 'intersects(r.sub.groups, r.obj.readers)',
    parameters: twoLists,
    returns: 'boolean',
    call: ([list, other], _, meter) => {
      const known = itemsOf(other as readonly Json[], 'intersects', meter);
      for (const item of itemsOf(list as readonly Json[], 'intersects', meter)) if (known.has(item)) return true;
      return false;
    },
  },
  {
    name: 'duration',
    origin: 'verdict',
    summary: 'Seconds of a duration: a whole number with `ms`, `s`, `m`, `h` or `d`. Times are seconds, too.',
    example: 'now() - timestamp(r.obj.created) < duration("30d")',
    parameters: [text],
    returns: 'number',
    call: ([value], _, meter) => {
      meter.spend(stepsToConvert);
      const milliseconds = parseDuration(value as string);
      if (milliseconds === undefined) throw new FunctionError(`${quote(value as string)} is no duration such as "30d"`);
      return milliseconds / 1000;
    },
  },
];

function sizeOf(value: Json, meter: StepMeter): number {
  if (Array.isArray(value)) return value.length;
  if (typeof value === 'string') {
    meter.spend(value.length >> 2);
    let size = 0;
    for (let at = 0; at < value.length; at++) {
      if (value.charCodeAt(at) >> 10 !== 0x37) size++;
    }
    return size;
  }
  if (typeof value === 'object' && value !== null) {
    const names = Object.keys(value);
    meter.spend(stepsPerMember * names.length);
    return names.length;
  }
  throw new FunctionError(`${describeValue(value)} is neither a text, a list nor an object`);
}

/** A number as JSON writes it, and no other text: an empty one is not 0. */
const decimal = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;
/** More digits say nothing more. */
const longestNumber = 100;

function numberOf(value: Json, meter: StepMeter): number {
  if (typeof value === 'number') return value;
  meter.spend(stepsToConvert);
  if (typeof value !== 'string') throw new FunctionError(`${describeValue(value)} is neither a text nor a number`);
  const number = value.length <= longestNumber && decimal.test(value) ? Number(value) : Number.NaN;
  if (!Number.isFinite(number)) throw new FunctionError(`${quote(value)} is no number`);
  return number;
}

function textOf(value: Json, meter: StepMeter): string {
  if (typeof value === 'string') return value;
  meter.spend(stepsToConvert);
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value);
  throw new FunctionError(`${describeValue(value)} is neither a text, a number nor a boolean`);
}

function contains(whole: Json, part: Json, meter: StepMeter): boolean {
  if (typeof whole === 'string') {
    if (typeof part !== 'string') throw new FunctionError(`a text holds texts, not ${describeValue(part)}`);
    return findText(whole, part, meter);
  }
  if (!Array.isArray(whole)) throw new FunctionError(`${describeValue(whole)} is neither a text nor a list`);
  for (const item of whole) {
    meter.spend(1);
    if (sameValue(item, part, meter)) return true;
  }
  return false;
}

/**
 * The items as texts, numbers and texts told apart. Never as numbers, and no text that is one by itself: their hashes follow from
 * their values, so a request could make them all equal.
 */
function itemsOf(list: readonly Json[], name: string, meter: StepMeter): ReadonlySet<string> {
  const items = new Set<string>();
  for (const item of list) {
    meter.spend(stepsPerItem + (typeof item === 'string' ? item.length >> 3 : 0));
    if (typeof item === 'object' && item !== null) {
      throw new FunctionError(`${describeValue(item)} in a list cannot be compared by ${name}()`);
    }
    items.add(typeof item === 'string' ? `t${item}` : `v${item}`);
  }
  return items;
}
