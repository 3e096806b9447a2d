/** How fresh the policy set of a service must be: `--at-least 42`, `--max-staleness 30s`. The service checks and explains. */
import { type Command, InvalidArgumentError } from 'commander';
import type { JsonObject } from '../../core/request.js';
import { UsageError } from '../exit-code.js';

export interface DemandOptions {
  readonly url?: string;
  readonly request?: string;
  readonly atLeast?: string;
  readonly maxStaleness?: string;
}

export function addDemandOptions(command: Command): Command {
  return command
    .option(
      '--at-least <revision>',
      'with --url: the revision that the policy set must have, or revisions by set: invoices=42,orders=7',
      headerText,
    )
    .option(
      '--max-staleness <time>',
      'with --url: how long ago the source of the policy set may have been confirmed, for example 30s',
      headerText,
    );
}

/** @throws UsageError for a demand that no service hears */
export function checkDemand({ url, atLeast, maxStaleness }: DemandOptions): void {
  if (url !== undefined) return;
  if (atLeast !== undefined) throw new UsageError('--at-least goes with --url');
  if (maxStaleness !== undefined) throw new UsageError('--max-staleness goes with --url');
}

/**
 * The headers of the request.
 *
 * @param said what the file of the request demands
 * @throws UsageError for what both say
 */
export function demandHeadersOf(
  { request, atLeast, maxStaleness }: DemandOptions,
  said: JsonObject,
): Readonly<Record<string, string>> {
  if (atLeast !== undefined && said.atLeast !== undefined)
    throw new UsageError(`${request} has atLeast already: --at-least does not go with it`);
  if (maxStaleness !== undefined && said.maxStaleness !== undefined)
    throw new UsageError(`${request} has maxStaleness already: --max-staleness does not go with it`);
  return {
    ...(atLeast !== undefined && { 'verdict-at-least': atLeast }),
    ...(maxStaleness !== undefined && { 'verdict-max-staleness': maxStaleness }),
  };
}

function headerText(text: string): string {
  if (/^[\x21-\x7e]+( [\x21-\x7e]+)*$/.test(text)) return text;
  throw new InvalidArgumentError('It is empty, or has characters that cannot be sent.');
}
