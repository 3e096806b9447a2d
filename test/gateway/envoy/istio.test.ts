/**
 * Istio's providers and the AuthorizationPolicy that docs/envoy.md shows, put into the filters that Istio makes of them
 * (`pilot/pkg/security/authz/builder`), in the real Envoy. Istio itself is not started.
 */
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type BuiltService, freePort, startBuiltService } from '../../authzen/built-service.js';
import { idModel } from '../../models.js';
import { type Issuer, startIssuer } from '../../security/world.js';
import { type Envoy, isMissing, shownBelow, startEnvoy, type Tree } from './real-envoy.js';

const [mesh, policy] = shownBelow('Istio').map((block) => parse(block) as Tree);
const provider = (name: string): Tree => mesh.extensionProviders.find((each: Tree) => each.name === name);

const patterns = (names: readonly string[]) => ({
  patterns: names.map((name) => (name.endsWith('*') ? { prefix: name.slice(0, -1) } : { exact: name })),
});
const bodyOf = (said: Tree) => ({
  max_request_bytes: said.maxRequestBytes,
  allow_partial_message: said.allowPartialMessage ?? false,
  pack_as_bytes: said.packAsBytes ?? false,
});
const policyId = 'istio-ext-authz-ns[istio-system]-policy[verdict]-rule[0]';

/** The filters of a CUSTOM policy with one rule for everything: one marks the requests that it is about, one asks. */
function filtersOf({ spec }: Tree, { envoyExtAuthzHttp: http, envoyExtAuthzGrpc: grpc }: Tree): Tree[] {
  expect(spec).toMatchObject({ action: 'CUSTOM', rules: [{}] });
  const said = http ?? grpc;
  return [
    {
      name: 'envoy.filters.http.rbac',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC',
        shadow_rules: {
          action: 'DENY',
          policies: { [policyId]: { permissions: [{ any: true }], principals: [{ any: true }] } },
        },
        shadow_rules_stat_prefix: 'istio_ext_authz_',
      },
    },
    {
      name: 'envoy.filters.http.ext_authz',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz',
        transport_api_version: 'V3',
        failure_mode_allow: said.failOpen,
        status_on_error: { code: Number(said.statusOnError) },
        with_request_body: bodyOf(said.includeRequestBodyInCheck),
        filter_enabled_metadata: {
          filter: 'envoy.filters.http.rbac',
          path: [{ key: 'istio_ext_authz_shadow_effective_policy_id' }],
          value: { string_match: { prefix: 'istio-ext-authz' } },
        },
        ...(http === undefined
          ? { grpc_service: { envoy_grpc: { cluster_name: 'verdict', authority: 'verdict' }, timeout: said.timeout } }
          : {
              allowed_headers: patterns(http.includeRequestHeadersInCheck),
              http_service: {
                path_prefix: http.pathPrefix,
                server_uri: { uri: `http://${http.service}`, cluster: 'verdict', timeout: http.timeout },
                authorization_request: {
                  headers_to_add: Object.entries(http.includeAdditionalHeadersInCheck).map(([key, value]) => ({
                    key,
                    value,
                  })),
                },
                authorization_response: {
                  allowed_upstream_headers: patterns(http.headersToUpstreamOnAllow),
                  allowed_client_headers: patterns(http.headersToDownstreamOnDeny),
                },
              },
            }),
      },
    },
  ];
}

describe.each(['verdict', 'verdict-grpc'])('the provider %s', (name) => {
  const test = it.skipIf(isMissing);
  let issuer: Issuer;
  let service: BuiltService;
  let envoy: Envoy;
  let token: string;

  beforeAll(async () => {
    if (isMissing) return;
    const isGrpc = name === 'verdict-grpc';
    const grpcPort = String(await freePort());
    issuer = await startIssuer();
    service = await startBuiltService(
      { 'default/model.conf': idModel, 'default/rules.csv': 'p, alice, /orders, GET\n' },
      {
        VERDICT_JWT_ISSUER: issuer.url,
        VERDICT_JWT_AUDIENCE: 'verdict',
        VERDICT_GATEWAY_JWT_AUDIENCE: 'shop',
        VERDICT_GRPC_PORT: grpcPort,
        // Istio's provider for gRPC sends no key; in a mesh the certificate of the workload is its credential.
        ...(isGrpc && { VERDICT_AUTH: 'none' }),
      },
    );
    const exp = Math.floor(Date.now() / 1000) + 600;
    token = await issuer.sign({ iss: issuer.url, aud: 'shop', sub: 'alice', exp });
    const [configuration] = shownBelow('Over HTTP');
    const [, http2] = shownBelow('Over gRPC').map((block) => parse(block));
    const { hostname, port, host } = new URL(service.url);
    envoy = await startEnvoy({
      configuration: configuration!,
      places: { VERDICT_HOST: hostname, VERDICT_PORT: isGrpc ? grpcPort : port, VERDICT: host, API_KEY: service.token },
      change: (tree) => {
        const [listener] = tree.static_resources.listeners;
        const manager = listener.filter_chains[0].filters[0].typed_config;
        // Istio has no such mutation.
        delete manager.early_header_mutation_extensions;
        manager.http_filters.splice(0, 1, ...filtersOf(policy, provider(name)));
        if (isGrpc) Object.assign(tree.static_resources.clusters[0], http2);
      },
    });
  });
  afterAll(async () => {
    await envoy?.stop();
    await service?.stop();
    await issuer?.stop();
  });

  test('lets through what is allowed, and nothing else', async () => {
    const headers = {
      authorization: `Bearer ${token}`,
      'x-verdict-subject': 'admin',
      'x-verdict-obligations': '["x"]',
    };
    expect((await envoy.ask('/orders', { headers })).status).toBe(200);
    const [{ headers: told }] = envoy.upstream.reached as [(typeof envoy.upstream.reached)[number]];
    expect(told['x-verdict-subject']).toBe('alice');
    expect(told['x-verdict-obligations']).toBeUndefined();
    expect((await envoy.ask('/admin', { headers })).status).toBe(403);
    expect((await envoy.ask('/orders', { method: 'DELETE', headers })).status).toBe(403);
    expect((await envoy.ask('/x/%2e%2e/orders', { headers })).status).toBe(403);
    const stranger = await envoy.ask('/orders', { headers: { 'x-verdict-subject': 'alice' } });
    expect(stranger.status).toBe(401);
    expect(stranger.headers['www-authenticate']).toBe('Bearer realm="verdict"');
  });

  test('answers 503 when Verdict is gone', async () => {
    service.child.kill('SIGKILL');
    await once(service.child, 'exit');
    const answer = await envoy.ask('/orders', { headers: { authorization: `Bearer ${token}` } });
    expect(answer.status).toBe(503);
    expect(envoy.upstream.reached).toEqual([]);
  });
});
