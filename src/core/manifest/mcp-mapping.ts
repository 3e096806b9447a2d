/** The manifest's `gateway.mcp`: who is named by a token that comes with a message of the Model Context Protocol. */
import { quote } from '../quote.js';
import type { YamlNode } from './yaml-document.js';

export interface McpMapping {
  /** The resource identifier of the MCP server (RFC 8707). Undefined: the token's audience, if it is one. */
  readonly server: string | undefined;
  /** The claim that names the user. */
  readonly subject: string;
  /** The claims that name the agent; the first one that is there counts. Undefined: only the user is asked about. */
  readonly agent: readonly string[] | undefined;
}

export const defaultMcpMapping: McpMapping = Object.freeze({
  server: undefined,
  subject: 'sub',
  agent: Object.freeze(['client_id', 'azp']),
});

/** Reads `gateway.mcp`. A wrong member is reported and gets its default. */
export function readMcpMapping(node: YamlNode): McpMapping {
  const members = node.knownMembers('gateway.mcp', ['server', 'subject', 'agent']);
  if (members === undefined) return defaultMcpMapping;
  const { server, subject, agent } = members;
  const agentClaim = agent?.text('gateway.mcp.agent');
  return Object.freeze({
    server: server?.text('gateway.mcp.server'),
    subject: (subject && claimIn(subject, 'gateway.mcp.subject')) ?? defaultMcpMapping.subject,
    agent: agentClaim === undefined ? defaultMcpMapping.agent : agentClaim === 'none' ? undefined : [agentClaim],
  });
}

function claimIn(node: YamlNode, what: string): string | undefined {
  const claim = node.text(what);
  if (claim === undefined || claim !== '') return claim;
  return node.refuse('wrong_value', `${quote(claim)} is not the name of a claim`, 'for example sub');
}
