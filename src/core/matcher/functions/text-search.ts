import type { StepMeter } from '../../step-budget.js';

/** Longest part, in characters, that the engine of JavaScript looks for: it may compare all of it at each place. */
const shortPart = 16;

/**
 * Whether a text holds another one, in time that is linear in both: a hostile pair such as many `a` and `b` behind many
 * `a` takes no longer (Knuth, Morris, Pratt).
 */
export function findText(text: string, part: string, meter: StepMeter): boolean {
  if (part.length > text.length) return false;
  meter.spend((text.length + part.length) >> 1);
  if (part.length <= shortPart) return text.includes(part);
  const borders = bordersOf(part);
  let matched = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    while (matched > 0 && part.charCodeAt(matched) !== unit) matched = borders[matched - 1] as number;
    if (part.charCodeAt(matched) === unit) matched++;
    if (matched === part.length) return true;
  }
  return false;
}

/** For each beginning of a text, the length of the longest shorter beginning that it ends with. */
function bordersOf(part: string): Int32Array {
  const borders = new Int32Array(part.length);
  let length = 0;
  for (let at = 1; at < part.length; at++) {
    const unit = part.charCodeAt(at);
    while (length > 0 && part.charCodeAt(length) !== unit) length = borders[length - 1] as number;
    if (part.charCodeAt(length) === unit) length++;
    borders[at] = length;
  }
  return borders;
}
