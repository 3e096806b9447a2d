import { describe, expect, it } from 'vitest';
import { verdict, workFolder } from './run.js';

const tryRequest = (...args: string[]) =>
  verdict(['gateway', 'try', 'policies/api-gateway', ...args], { cwd: workFolder() });

describe('verdict gateway try', () => {
  it('shows what a request becomes, and the decision', async () => {
    const { code, stdout } = await tryRequest(
      'POST',
      '/v1/./orders?x=1',
      '--token',
      '{"sub":"web-shop"}',
      '--output',
      'json',
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      question: {
        subject: { type: 'client', id: 'web-shop' },
        action: { name: 'POST' },
        resource: { type: 'path', id: '/v1/orders' },
        attributes: { ip: '127.0.0.1' },
      },
      decision: { decision: 'allow', reason: { message: 'Storefronts place orders' } },
    });
  });

  it('takes a user without a token, and nobody', async () => {
    expect((await tryRequest('GET', '/v1/products')).code).toBe(0);
    const denied = await tryRequest('DELETE', '/v1/orders/7', '--user', 'erp');
    expect(denied.code).toBe(1);
    expect(denied.stdout).toContain('Orders are cancelled, never deleted');
  });

  it('says why a request becomes no question', async () => {
    const { code, stdout } = await tryRequest('GET', '/v1/products/..%2f..%2finternal');
    expect(code).toBe(1);
    expect(stdout).toContain('ambiguous_path  The path holds an encoded slash.');
  });

  it('says what is wrong with the command', async () => {
    for (const args of [
      ['--token', 'alice'],
      ['--token', '{}'],
      ['-H', 'no header'],
    ]) {
      const { code, stderr } = await tryRequest('GET', '/a', ...args);
      expect(code).toBe(2);
      expect(stderr).toMatch(/^verdict: /);
    }
  });
});
