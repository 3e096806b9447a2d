/** Options that several commands share, and rules for all options. */
import { type Command, Option } from 'commander';
import { UsageError } from './exit-code.js';

/** `--output`; the first format is the default. */
export function outputOption(...formats: readonly [string, ...string[]]): Option {
  return new Option('--output <format>', 'how to write the result').choices(formats).default(formats[0]);
}

/** The parser of an option that may come again. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
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
