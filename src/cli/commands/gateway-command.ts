import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { defaultRequestLimits } from '../../core/asked/attribute-count.js';
import { parseExactJson } from '../../core/exact-json.js';
import type { GatewayMapping } from '../../core/manifest/gateway-mapping.js';
import { PolicySet } from '../../core/policy-set.js';
import type { JsonObject } from '../../core/request.js';
import { checkOfJson } from '../../gateway/envoy/check-json.js';
import type { CheckRequest } from '../../gateway/envoy/grpc/check-protocol.js';
import { clientRequestOf } from '../../gateway/envoy/grpc/client-request.js';
import {
  forwardedHeaders,
  type GatewayIdentity,
  type GatewayRequest,
  gatewayQuestion,
} from '../../gateway/gateway-request.js';
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
  readonly envoy?: string;
}

export function addGatewayCommand(program: Command, terminal: Terminal): void {
  program
    .command('gateway')
    .summary('see what a gateway would ask')
    .command('try <folder> [method] [target]')
    .summary('show what a request becomes')
    .description(
      "Shows the question that a request at a gateway becomes by the manifest's mapping, and the decision. Tokens are not\n" +
        'verified here: say what they hold. Exit code 0 for allow, 1 for anything else.',
    )
    .option('-H, --header <name: value>', 'a header of the request; may come again', collect, [])
    .option('--token <claims>', 'the claims of a verified token, as JSON')
    .option('--user <id>', 'who a trusted proxy says the user is')
    .option('--address <ip>', "the client's address", '127.0.0.1')
    .option(
      '--envoy <file>',
      'the request as a CheckRequest of Envoy in JSON, in place of method and target; - reads it from the input',
    )
    .addOption(outputOption('text', 'json'))
    .addHelpText(
      'after',
      '\nExample:\n  verdict gateway try policies/invoices GET \'/invoices/42?region=eu\' --token \'{"sub":"alice"}\'\n  verdict gateway try policies/invoices --envoy check.json\n',
    )
    .action(async (folder: string, method: string | undefined, target: string | undefined, options: TryOptions) => {
      process.exitCode = await tryRequest(folder, method, target, options, terminal);
    });
}

async function tryRequest(
  folder: string,
  method: string | undefined,
  target: string | undefined,
  options: TryOptions,
  terminal: Terminal,
): Promise<number> {
  const set = new PolicySet((await loadFolder(folder)).compiled);
  const mapping = set.manifest.gateway;
  const request =
    options.envoy === undefined
      ? requestOf(method, target, options)
      : await requestOfEnvoy(options.envoy, method, mapping);
  const identity = identityOf(options) ?? certificateIdentity(request, mapping);
  const question = gatewayQuestion(mapping, request, identity);
  const isJson = options.output === 'json';
  if ('refused' in question) {
    if (isJson) terminal.printJson(question);
    else terminal.print(`${terminal.style('red', question.refused)}  ${question.detail}`);
    return exitCodes.findings;
  }
  const decision = set.decide(question, { now: Date.now() });
  const { set: headers, remove } = forwardedHeaders(mapping, request, identity);
  const forward = headers.length + remove.length === 0 ? undefined : { set: Object.fromEntries(headers), remove };
  if (isJson) {
    terminal.printJson({ question, decision, ...(forward !== undefined && { forward }) });
  } else {
    terminal.printJson(question);
    printDecision(terminal, decision);
    if (forward !== undefined && decision.decision === 'allow') terminal.printJson({ forward });
  }
  return decision.decision === 'allow' ? exitCodes.fine : exitCodes.findings;
}

function requestOf(method: string | undefined, target: string | undefined, options: TryOptions): GatewayRequest {
  if (method === undefined || target === undefined) {
    throw new UsageError('gateway try needs a method and a target, or --envoy with a file');
  }
  const headers = Object.fromEntries(options.header.map(readHeader));
  return { method, target, host: headers.host, scheme: 'https', clientAddress: options.address, headers };
}

/** The request in a check that Envoy would send over gRPC. Its certificate is taken as one that is believed. */
async function requestOfEnvoy(
  file: string,
  method: string | undefined,
  mapping: GatewayMapping,
): Promise<GatewayRequest> {
  if (method !== undefined) throw new UsageError('--envoy does not go with a method and a target');
  const client = clientRequestOf(checkIn(file), defaultRequestLimits);
  if (client === undefined) throw new UsageError('the check of --envoy has no attributes.request.http.method');
  return { ...client.request, ...(mapping.readsBody && { body: await client.body() }) };
}

function checkIn(file: string): CheckRequest {
  try {
    return checkOfJson(parseExactJson(readFileSync(file === '-' ? process.stdin.fd : file, 'utf8')));
  } catch (error) {
    throw new UsageError(`the check of --envoy cannot be read: ${(error as Error).message}`);
  }
}

function certificateIdentity(
  { certificate }: GatewayRequest,
  { identity }: GatewayMapping,
): GatewayIdentity | undefined {
  return identity?.certificate === true && certificate !== undefined ? { id: certificate } : undefined;
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
