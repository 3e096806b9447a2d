/** docs/mcp.md with the official SDK: a server, a client, and Verdict between them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { Server as McpServer } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readManifest } from '../../../src/core/manifest/manifest.js';
import type { PolicyProblem } from '../../../src/core/problem.js';
import { type BuiltService, startBuilt } from '../../built-service.js';
import { examplesOf } from '../../packages/page-examples.js';
import { audience, type Issuer, startIssuer } from '../../security/world.js';

const resource = 'https://mcp.example.com';
const folder = mkdtempSync(join(tmpdir(), 'verdict-mcp-'));
const tools = ['search_tickets', 'refund', 'get_ticket'];
const mapping = {
  evaluation: { action: { name: 'tools/call' }, resource: { type: 'tool', id: '$params.arguments.as' } },
};

let issuer: Issuer;
let verdict: BuiltService;
let askVerdict: <T>(transport: T, options: { url: string; tools: ReadonlyMap<string, object> }) => T;
let mcp: Server;
let called: string[] = [];

beforeAll(async () => {
  issuer = await startIssuer();
  verdict = await startBuilt(folder, {
    VERDICT_POLICY_DIR: fileURLToPath(new URL('../../../templates/mcp', import.meta.url)),
    VERDICT_DRAFTS: 'mcp',
    VERDICT_JWT_ISSUER: issuer.url,
    VERDICT_JWT_AUDIENCE: audience,
    VERDICT_GATEWAY_JWT_AUDIENCE: resource,
  });
  const file = join(folder, 'verdict-mcp.mjs');
  writeFileSync(file, examplesOf('mcp.md').get('verdict-mcp.mjs')!);
  ({ askVerdict } = await import(pathToFileURL(file).href));
  mcp = await serve(verdict.url);
});

/** A server of tools that asks Verdict at that address. */
async function serve(url: string): Promise<Server> {
  const listening = createServer(async (request, response) => {
    const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    const server = new McpServer({ name: 'tickets', version: '1' }, { capabilities: { tools: {} } });
    server.setRequestHandler(ListToolsRequestSchema, () => ({
      tools: tools.map((name) => ({ name, inputSchema: { type: 'object' as const } })),
    }));
    server.setRequestHandler(CallToolRequestSchema, ({ params: { name } }) => {
      called.push(name);
      return { content: [{ type: 'text' as const, text: `${name} done` }] };
    });
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
    const declared = { name: 'get_ticket', inputSchema: { type: 'object', 'x-authzen-mapping': mapping } };
    const asked = askVerdict(transport, { url, tools: new Map([['get_ticket', declared]]) });
    await server.connect(asked as unknown as Parameters<typeof server.connect>[0]);
    const authenticated = Object.assign(request, { auth: { token, clientId: '', scopes: [] } });
    await transport.handleRequest(authenticated, response);
  });
  await new Promise<void>((resolve) => {
    listening.listen(0, '127.0.0.1', resolve);
  });
  return listening;
}

afterAll(async () => {
  mcp.closeAllConnections();
  mcp.close();
  await verdict.stop();
  await issuer.stop();
  rmSync(folder, { recursive: true });
});

async function connect(sub: string, agent = 'helpdesk-bot', server = mcp): Promise<Client> {
  called = [];
  const exp = Math.floor(Date.now() / 1_000) + 60;
  const token = await issuer.sign({ iss: issuer.url, aud: resource, exp, sub, client_id: agent });
  const client = new Client({ name: 'test', version: '1' });
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`);
  const headers = { authorization: `Bearer ${token}` };
  const transport = new StreamableHTTPClientTransport(url, { requestInit: { headers } });
  await client.connect(transport as unknown as Parameters<typeof client.connect>[0]);
  return client;
}

const namesOf = async (client: Client) => (await client.listTools()).tools.map(({ name }) => name);

describe('with the official SDK', () => {
  it('a client sees and calls the tools that its person and its agent may use', async () => {
    const ana = await connect('ana');
    expect(await namesOf(ana)).toEqual(['search_tickets', 'refund']);
    await ana.callTool({ name: 'refund', arguments: { amount: 100 } });
    expect(called).toEqual(['refund']);
    await expect(ana.callTool({ name: 'refund', arguments: { amount: 101 } })).rejects.toMatchObject({
      code: -32001,
      message: expect.stringContaining('Refunds above 100 are for people'),
    });
    expect(called).toEqual(['refund']);
    await ana.close();
    const ben = await connect('ben');
    expect(await namesOf(ben)).toEqual(['search_tickets']);
    await expect(ben.callTool({ name: 'refund', arguments: { amount: 1 } })).rejects.toThrow('You may not do this.');
    expect(called).toEqual([]);
    await ben.close();
  });

  it('the mapping that a tool declares is followed', async () => {
    const ben = await connect('ben');
    await ben.callTool({ name: 'get_ticket', arguments: { as: 'search_7' } });
    expect(called).toEqual(['get_ticket']);
    await expect(ben.callTool({ name: 'get_ticket', arguments: { as: 'refund' } })).rejects.toMatchObject({
      code: -32001,
    });
    await expect(ben.callTool({ name: 'get_ticket', arguments: {} })).rejects.toThrow('COAZ mapping error');
    expect(called).toEqual(['get_ticket']);
    await ben.close();
  });

  it.each([
    ['an agent that nobody knows', 'ana', 'unknown-bot'],
    ['a person whom nobody knows', 'eve', 'helpdesk-bot'],
  ])('%s does not even begin', async (_, sub, agent) => {
    await expect(connect(sub, agent)).rejects.toThrow('You may not do this.');
  });
});

it('nothing passes while Verdict is away', async () => {
  // Nobody listens there.
  const alone = await serve('http://127.0.0.1:9');
  await expect(connect('ana', 'helpdesk-bot', alone)).rejects.toThrow('Authorization service unavailable');
  alone.closeAllConnections();
  alone.close();
});

it('shows mappings that can be read', () => {
  const page = readFileSync(new URL('../../../docs/mcp.md', import.meta.url), 'utf8');
  const mappings = [...page.matchAll(/^```yaml\n(gateway:[\s\S]*?)^```$/gm)].map(([, text]) => text!);
  expect(mappings).toHaveLength(2);
  for (const text of mappings) {
    const problems: PolicyProblem[] = [];
    readManifest({ file: 'policy-set.yaml', text }, (problem) => problems.push(problem));
    expect(problems, text).toEqual([]);
  }
});
