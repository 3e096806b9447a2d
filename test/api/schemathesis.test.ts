/**
 * The OpenAPI document is held against the service by schemathesis (PyPI), which makes requests from it: none ends in a 5xx,
 * and none that the document calls valid is refused for being invalid.
 */
import { execFile, spawnSync } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { knownScopes } from '../../src/auth/scopes.js';
import { type KeyedService, startKeyedService } from '../security/keyed-service.js';

const isThere = process.env.VERDICT_TEST_REQUIRE === 'all' || spawnSync('schemathesis', ['--version']).status === 0;
if (!isThere) console.warn('schemathesis is not installed: the OpenAPI document is not held against the service');

const here = fileURLToPath(new URL('.', import.meta.url));

/** How many requests are made from each operation, at most; the coverage phase makes those at the limits besides. */
const examples = process.env.VERDICT_TEST_SCHEMATHESIS_EXAMPLES ?? '10';

describe.runIf(isThere)('what schemathesis makes of /docs-json', () => {
  let keyed: KeyedService;
  let url: string;

  beforeAll(async () => {
    keyed = await startKeyedService(
      { all: `scopes: [${knownScopes.join(', ')}]`, narrow: 'scopes: [decide, "decisions:read"]\nsets: [invoices]' },
      { searchRateLimit: '100000/s' },
    );
    await keyed.service.app.listen(0, '127.0.0.1');
    url = `http://127.0.0.1:${(keyed.service.app.getHttpServer().address() as AddressInfo).port}`;
  });

  afterAll(() => keyed.stop());

  function run(key: string, checks: string): Promise<{ code: number; output: string }> {
    const args = [
      ...['run', `${url}/docs-json`, '--header', `X-API-Key: ${keyed.keys[key]}`],
      ...['--phases', 'examples,coverage,fuzzing', '--max-examples', examples, '--generation-deterministic'],
      // NUL and integers beyond 2^53 are refused within open objects, too, which the schema of an open object cannot say.
      ...['--generation-allow-x00', 'false'],
      // A stream has no end.
      ...['--exclude-path', '/v1/decisions/stream'],
      ...['--checks', checks, '--suppress-health-check', 'all', '--warnings', 'off', '--continue-on-failure'],
    ];
    return new Promise((resolve) => {
      const env = {
        ...process.env,
        NO_COLOR: '1',
        COLUMNS: '200',
        PYTHONPATH: here,
        SCHEMATHESIS_HOOKS: 'schemathesis_hooks',
      };
      execFile(
        'schemathesis',
        args,
        { cwd: keyed.service.directory, env, maxBuffer: 64 * 1024 * 1024 },
        (error, stdout, stderr) => {
          const code = error === null ? 0 : Number(error.code ?? 1);
          resolve({ code, output: (stdout + stderr).replaceAll(keyed.keys[key]!, '…').slice(-20_000) });
        },
      );
    });
  }

  it('is answered as the document says, for a caller with all scopes', { timeout: 600_000 }, async () => {
    const { code, output } = await run('all', 'not_a_server_error,positive_data_acceptance');
    expect(code, output).toBe(0);
  });

  it('ends in no 5xx for a caller who may do little', { timeout: 600_000 }, async () => {
    const { code, output } = await run('narrow', 'not_a_server_error');
    expect(code, output).toBe(0);
  });
});
