import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { DecisionRequest, JsonObject } from '../../src/core/request.js';
import { compileMask } from '../../src/decision-log/mask.js';
import { valueHash } from '../../src/decision-log/value-hash.js';

const none = { mask: [], drop: [] };

function request(attributes: JsonObject, more: Partial<DecisionRequest> = {}): DecisionRequest {
  return { subject: { id: 'alice' }, action: { name: 'read' }, resource: { id: '42' }, attributes, ...more };
}

it('a request with nothing to hide is passed on as it is', () => {
  const plain = request({ ip: '10.0.0.7', roles: ['a', { b: 1 }], secretary: 'bob', hasPassword: true, token: null });
  expect(compileMask(none)(plain)).toBe(plain);
  expect(compileMask({ mask: ['/subject/attributes/ssn'], drop: ['/attributes/x'] })(plain)).toBe(plain);
});

it('names that say secret are masked at any depth, however they are written', () => {
  const masked = compileMask(none)(
    request({
      password: 'p',
      access_token: 't',
      clientSecret: ['s'],
      headers: [{ Authorization: 'Bearer x', 'X-Api-Key': { a: 1 }, accept: '*/*' }],
      user_passwd: 1234,
      'Set-Cookie': 'c',
    }),
  );
  expect(masked.attributes).toEqual({
    password: '[masked]',
    access_token: '[masked]',
    clientSecret: '[masked]',
    headers: [{ Authorization: '[masked]', 'X-Api-Key': '[masked]', accept: '*/*' }],
    user_passwd: '[masked]',
    'Set-Cookie': '[masked]',
  });
});

it('pointers mask and drop, with their escapes and through arrays', () => {
  const mask = compileMask({
    mask: ['/subject/attributes/ssn', '/attributes/a~1b~0c', '/attributes/list/1/pin'],
    drop: ['/attributes/trace', '/action/attributes', '/attributes/list/0'],
  });
  const before = request(
    { 'a/b~c': 1, trace: {}, list: ['x', { pin: 1, left: 2 }] },
    {
      subject: { type: 'user', id: 'alice', attributes: { ssn: '078-05-1120', age: 30 } },
      action: { name: 'read', attributes: { x: 1 } },
    },
  );
  const copy = structuredClone(before);
  expect(mask(before)).toEqual({
    subject: { type: 'user', id: 'alice', attributes: { ssn: '[masked]', age: 30 } },
    action: { name: 'read' },
    resource: { id: '42' },
    attributes: { 'a/b~c': '[masked]', list: ['[masked]', { pin: '[masked]', left: 2 }] },
  });
  expect(before).toEqual(copy);
});

it('what every record has is masked where a rule would drop it', () => {
  const dropped = { subject: { id: '[masked]' }, action: { name: '[masked]' }, resource: { id: '[masked]' } };
  const full = request({ a: 1 }, { subject: { type: 'user', id: 'alice', attributes: { b: 1 } } });
  expect(compileMask({ mask: [], drop: ['/subject', '/action', '/resource', '/attributes'] })(full)).toEqual(dropped);
  expect(compileMask({ mask: [], drop: [''] })(full)).toEqual(dropped);
  expect(compileMask({ mask: [], drop: ['/subject/id', '/subject/type'] })(full).subject).toEqual({
    id: '[masked]',
    attributes: { b: 1 },
  });
});

it('claims of tokens are masked as attributes are, whatever the tokens are called', () => {
  const tokens = { access_token: { sub: 'ann', email: 'a@x', client_secret: 's' }, service: { sub: 'crm' } };
  const before = request({}, { tokens });
  const copy = structuredClone(before);
  const masked = (rules: Partial<Parameters<typeof compileMask>[0]>) =>
    compileMask({ ...none, ...rules })(before).tokens;
  const plain = { access_token: { sub: 'ann', email: 'a@x', client_secret: '[masked]' }, service: { sub: 'crm' } };
  expect(masked({})).toEqual(plain);
  expect(masked({ mask: ['/tokens/access_token/email'], drop: ['/tokens/service/sub'] })).toEqual({
    access_token: { ...plain.access_token, email: '[masked]' },
    service: {},
  });
  expect(masked({ drop: ['/tokens/access_token'] })).toEqual({ service: { sub: 'crm' } });
  expect(masked({ mask: ['/tokens/service'] })).toEqual({ ...plain, service: { sub: '[masked]' } });
  expect(masked({ drop: [''] })).toBeUndefined();
  expect(before).toEqual(copy);
  const harmless = request({}, { tokens: { token: { sub: 'ann' } } });
  expect(compileMask(none)(harmless)).toBe(harmless);
});

it('member names from prototypes are names like any other', () => {
  const hostile = JSON.parse('{"__proto__":{"password":"p"},"constructor":"c","toString":{"token":"t"}}');
  expect(JSON.stringify(compileMask(none)(request(hostile)).attributes)).toBe(
    '{"__proto__":{"password":"[masked]"},"constructor":"c","toString":{"token":"[masked]"}}',
  );
});

describe('values that a rule hashes', () => {
  const key = Buffer.alloc(32, 7);
  const hash = valueHash(key);
  const rules = {
    mask: ['/subject/attributes/both'],
    hash: [
      '/subject/attributes/ssn',
      '/subject/attributes/both',
      '/attributes/list/1',
      '/attributes/token',
      '/attributes/out',
    ],
    drop: ['/attributes/out'],
  };
  const asked = request(
    { list: ['a', '078-05-1120', 1], token: { b: [1], a: null }, out: 1, password: 'hunter2' },
    { subject: { id: 'alice', attributes: { ssn: '078-05-1120', both: 'x', name: 'Alice' } } },
  );

  it('are equal where the values are, under one key, and say nothing else', () => {
    const masked = compileMask(rules, hash)(asked);
    const ssn = masked.subject.attributes?.ssn as string;
    expect(ssn).toMatch(/^\[hash:[A-Za-z0-9_-]{22}\]$/);
    expect(masked).toEqual({
      ...asked,
      subject: { id: 'alice', attributes: { ssn, both: '[masked]', name: 'Alice' } },
      // The name says that it is secret; the rule says how that is kept. Other secrets stay masked.
      attributes: { list: ['a', ssn, 1], token: hash({ a: null, b: [1] }), password: '[masked]' },
    });
    const expected = createHmac('sha256', key).update('"078-05-1120"').digest('base64url').slice(0, 22);
    // 128 bits end within the last digit.
    expect(ssn.slice(6, 27)).toBe(expected.slice(0, 21));
    expect(valueHash(Buffer.alloc(32, 8))('078-05-1120')).not.toBe(ssn);
    expect(hash('5')).not.toBe(hash(5));
  });

  it('stay as they are when they are masked again, and are masked without a key', () => {
    const mask = compileMask(rules, hash);
    const once = mask(asked);
    expect(mask(once)).toBe(once);
    expect(compileMask(rules)(asked).subject.attributes).toEqual({ ssn: '[masked]', both: '[masked]', name: 'Alice' });
  });
});
