/** Options that several commands share. */
import { Option } from 'commander';

/** `--output`; the first format is the default. */
export function outputOption(...formats: readonly [string, ...string[]]): Option {
  return new Option('--output <format>', 'how to write the result').choices(formats).default(formats[0]);
}
