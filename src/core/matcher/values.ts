/** How the matcher language compares and writes values: typed, by content, never converting (govaluate). */
import { quote } from '../quote.js';
import type { Json, JsonObject } from '../request.js';
import { longText, type StepMeter, stepsForText, unmetered } from '../step-budget.js';

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The own member `name`, or undefined. Inherited members are ignored. */
export function ownMember(object: JsonObject, name: string): Json | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

const stepsPerItem = 2;
const stepsPerMember = 16;
const stepsToFormat = 20;

/** Equal in type and content, as Go's `reflect.DeepEqual` on JSON values. */
export function sameValue(left: Json, right: Json, meter: StepMeter = unmetered): boolean {
  if (typeof left === 'string' && left.length > longText) meter.spend(stepsForText(left.length));
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
  if (Array.isArray(left)) {
    if (!Array.isArray(right) || left.length !== right.length) return false;
    meter.spend(stepsPerItem * left.length);
    return left.every((item, index) => sameValue(item, right[index] as Json, meter));
  }
  if (Array.isArray(right)) return false;
  const names = Object.keys(left);
  const others = Object.keys(right).length;
  meter.spend(stepsPerMember * (names.length + others + 1));
  if (names.length !== others) return false;
  return names.every((name) => Object.hasOwn(right, name) && sameValue(left[name] as Json, right[name] as Json, meter));
}

/** Negative, zero or positive, by the bytes of the UTF-8 form as Go compares strings. */
export function compareStrings(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let index = 0; index < length; index++) {
    const a = left.charCodeAt(index);
    const b = right.charCodeAt(index);
    if (a !== b) return utf8Rank(a) - utf8Rank(b);
  }
  return left.length - right.length;
}

/** Rank of a code unit in the order of UTF-8: surrogates stand for characters behind U+E000 to U+FFFF. */
function utf8Rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

/** The text of a value when `+` joins it to a string: Go's `%v`. */
export function formatValue(value: Json, meter: StepMeter = unmetered): string {
  if (typeof value === 'string') return value;
  if (value === null) return '<nil>';
  meter.spend(stepsToFormat);
  if (typeof value === 'number') return formatNumber(value);
  if (Array.isArray(value)) {
    meter.spend(stepsToFormat * value.length);
    return `[${value.map((item) => formatValue(item, meter)).join(' ')}]`;
  }
  if (typeof value === 'object') {
    const names = Object.keys(value);
    meter.spend(stepsToFormat * (names.length + 1) * (Math.log2(names.length + 1) | 1));
    names.sort(compareStrings);
    return `map[${names.map((name) => `${name}:${formatValue(value[name] as Json, meter)}`).join(' ')}]`;
  }
  return String(value);
}

/** A number as Go's `%v`: the shortest text; below 1e-4 and from 1e6 on with an exponent of at least two digits. */
function formatNumber(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  if (value === Number.NEGATIVE_INFINITY) return '-Inf';
  if (Object.is(value, -0)) return '-0';
  const magnitude = Math.abs(value);
  if (Number.isNaN(value) || magnitude === 0 || (magnitude >= 1e-4 && magnitude < 1e6)) return String(value);
  return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
}

/** A short description of a value for diagnostics: one line at most. */
export function describeValue(value: Json): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value !== 'string') return String(value);
  return quote(value);
}
