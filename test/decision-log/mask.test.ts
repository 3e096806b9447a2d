import { expect, it } from 'vitest';
import type { DecisionRequest, JsonObject } from '../../src/core/request.js';
import { compileMask } from '../../src/decision-log/mask.js';

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

it('member names from prototypes are names like any other', () => {
  const hostile = JSON.parse('{"__proto__":{"password":"p"},"constructor":"c","toString":{"token":"t"}}');
  expect(JSON.stringify(compileMask(none)(request(hostile)).attributes)).toBe(
    '{"__proto__":{"password":"[masked]"},"constructor":"c","toString":{"token":"[masked]"}}',
  );
});
