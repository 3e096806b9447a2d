import type { Command } from 'commander';
import { parseExactJson } from '../../core/exact-json.js';
import { PolicySet } from '../../core/policy-set.js';
import type { JsonObject } from '../../core/request.js';
import { type GatewayIdentity, gatewayQuestion } from '../../gateway/gateway-request.js';
import { exitCodes, UsageError } from '../exit-code.js';
import { collect, outputOption } from '../options.js';
import { printDecision } from '../print/decision-report.js';
import type { Terminal } from '../print/terminal.js';
import { loadFolder } from '../sources/policy-folder.js';

interface TryOptions {
  readonly output: 'text' | 'json';
  readonly header: readonly string[];
  readonly token?: string;
  readonly user?: string;
  readonly address: string;
}

export function addGatewayCommand(program: Command, terminal: Terminal): void {
  program
    .command('gateway')
    .summary('see what a gateway would ask')
    .command('try <folder> <method> <target>')
    .summary('show what a request becomes')
    .description(
      "Shows the question that a request at a gateway becomes by the manifest's mapping, and the decision. Tokens are not\n" +
        'verified here: say what they hold. Exit code 0 for allow, 1 for anything else.',
    )
    .option('-H, --header <name: value>', 'a header of the request; may come again', collect, [])
    .option('--token <claims>', 'the claims of a verified token, as JSON')
    .option('--user <id>', 'who a trusted proxy says the user is')
    .option('--address <ip>', "the client's address", '127.0.0.1')
    .addOption(outputOption('text', 'json'))
    .addHelpText(
      'after',
      '\nExample:\n  verdict gateway try policies/invoices GET \'/invoices/42?region=eu\' --token \'{"sub":"alice"}\'\n',
    )
    .action(async (folder: string, method: string, target: string, options: TryOptions) => {
      process.exitCode = await tryRequest(folder, method, target, options, terminal);
    });
}

async function tryRequest(
  folder: string,
  method: string,
  target: string,
  options: TryOptions,
  terminal: Terminal,
): Promise<number> {
  const set = new PolicySet((await loadFolder(folder)).compiled);
  const headers = Object.fromEntries(options.header.map(readHeader));
  const request = { method, target, host: headers.host, scheme: 'https', clientAddress: options.address, headers };
  const question = gatewayQuestion(set.manifest.gateway, request, identityOf(options));
  const isJson = options.output === 'json';
  if ('refused' in question) {
    if (isJson) terminal.printJson(question);
    else terminal.print(`${terminal.style('red', question.refused)}  ${question.detail}`);
    return exitCodes.findings;
  }
  const decision = set.decide(question, { now: Date.now() });
  if (isJson) {
    terminal.printJson({ question, decision });
  } else {
    terminal.printJson(question);
    printDecision(terminal, decision);
  }
  return decision.decision === 'allow' ? exitCodes.fine : exitCodes.findings;
}

function readHeader(text: string): [string, string] {
  const colon = text.indexOf(':');
  if (colon < 1) throw new UsageError(`"${text}" is not a header`, "for example -H 'X-Region: eu'");
  return [text.slice(0, colon).trim().toLowerCase(), text.slice(colon + 1).trim()];
}

function identityOf({ token, user }: TryOptions): GatewayIdentity | undefined {
  if (user !== undefined && token !== undefined)
    throw new UsageError('--user does not go with --token: either says who the user is');
  if (user !== undefined) return { id: user };
  if (token === undefined) return undefined;
  const claims = readClaims(token);
  if (typeof claims.sub !== 'string') throw new UsageError('the claims of --token need a "sub"');
  return { id: claims.sub, claims };
}

function readClaims(text: string): JsonObject {
  try {
    const claims: unknown = parseExactJson(text);
    if (typeof claims === 'object' && claims !== null && !Array.isArray(claims)) return claims as JsonObject;
  } catch {
    // The same is wrong with it as with JSON of another kind.
  }
  throw new UsageError('--token takes claims as a JSON object', `for example '{"sub":"alice","roles":["editor"]}'`);
}
