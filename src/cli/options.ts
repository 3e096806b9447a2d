/** Options that several commands share, and rules for all options. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from './exit-code.js';

/** `--output`; the first format is the default. */
export function outputOption(...formats: readonly [string, ...string[]]): Option {
  return new Option('--output <format>', 'how to write the result').choices(formats).default(formats[0]);
}

/** The parser of an option that may come again. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

/** The parser of an option that counts something. */
export function positiveInteger(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1) throw new InvalidArgumentError('It must be a whole number above 0.');
  return number;
}

/** The parser of an option that is a part of a whole. */
export function percentage(text: string): number {
  const number = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || number > 100) throw new InvalidArgumentError('It must be a number from 0 to 100.');
  return number;
}

/** The parser of an option that chooses by name: a text that the name has, or `/an expression/i` that it matches. */
export function namePattern(text: string): (name: string) => boolean {
  const [, source, flags] = /^\/(.*)\/([a-z]*)$/s.exec(text) ?? [];
  if (text === '') throw new InvalidArgumentError('It is empty.');
  if (source === undefined) return (name) => name.includes(text);
  if (!/^[iu]*$/.test(flags ?? '')) throw new InvalidArgumentError('Behind the second slash may stand i and u.');
  try {
    const expression = new RegExp(source, flags);
    return (name) => expression.test(name);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

/** Refuses a repeated option that takes one value: one of its values would be ignored. */
export function refuseRepeats(command: Command): void {
  for (const option of command.options) {
    if ((!option.required && !option.optional) || option.variadic || option.parseArg === collect) continue;
    let isGiven = false;
    command.on(`option:${option.name()}`, () => {
      if (isGiven) throw new UsageError(`${option.long} is given twice`);
      isGiven = true;
    });
  }
  for (const sub of command.commands) refuseRepeats(sub);
}
