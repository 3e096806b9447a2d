import { describe, expect, it } from 'vitest';
import type { Json, JsonObject } from '../../../src/core/request.js';
import { MappingError } from '../../../src/gateway/mcp/coaz-expressions.js';
import { mappedQuestions } from '../../../src/gateway/mcp/coaz-mapping.js';

const token = { sub: 'alice@example.com', client_id: 'agent-app', roles: ['treasury'], exp: 1_750_000_000 };

function mapped(mapping: Json, args: JsonObject = { id: 'cust-12345', case: 'case-67890' }) {
  return mappedQuestions(mapping, { params: { name: 'get_customer', arguments: args }, token }, 'alice@example.com');
}

/** A mapping with one value that is to be looked at. */
const about = (value: Json): Json => ({
  evaluation: { action: { name: 'read' }, resource: { type: 'customer', id: 'c' }, context: { value } },
});

const contextOf = (value: Json, args?: JsonObject): Json | undefined =>
  mapped(about(value), args)[0]?.attributes?.value;

describe('a declared mapping', () => {
  it('is the request of the draft: one evaluation', () => {
    const mapping = {
      evaluation: {
        subject: { type: 'identity', id: '$token.sub' },
        action: { name: 'get_customer' },
        resource: { type: 'customer', id: '$params.arguments.id' },
        context: { agent: '$token.?client_id', case: '$params.arguments.case' },
      },
    };
    expect(mapped(mapping)).toEqual([
      {
        subject: { type: 'identity', id: 'alice@example.com' },
        action: { name: 'get_customer' },
        resource: { type: 'customer', id: 'cust-12345' },
        attributes: { agent: 'agent-app', case: 'case-67890' },
      },
    ]);
  });

  it('is the request of the draft: several evaluations', () => {
    const mapping = {
      evaluations: {
        subject: { type: 'identity', id: '$token.sub' },
        context: { agent: '$token.?client_id' },
        evaluations: [
          { action: { name: 'read' }, resource: { type: 'storage_object', id: '$params.arguments.source' } },
          { action: { name: 'write' }, resource: { type: 'storage_object', id: '$params.arguments.destination' } },
        ],
      },
    };
    const questions = mapped(mapping, { source: '/reports/q1.pdf', destination: '/archive/q1.pdf' });
    expect(questions.map(({ action, resource }) => [action.name, resource.id])).toEqual([
      ['read', '/reports/q1.pdf'],
      ['write', '/archive/q1.pdf'],
    ]);
    expect(questions.every(({ subject }) => subject.id === 'alice@example.com')).toBe(true);
    expect(questions[1]?.attributes).toEqual({ agent: 'agent-app' });
  });

  it('is the request of the draft: conditions', () => {
    const mapping = {
      evaluation: {
        subject: {
          type: "$token.roles.exists(r, r == 'treasury') ? 'treasury_user' : 'standard_user'",
          id: '$token.sub',
        },
        action: { name: "$params.arguments.currency == 'USD' ? 'domestic_transfer' : 'international_transfer'" },
        resource: {
          type: 'account',
          id: '$params.arguments.from_account',
          properties: { sensitivity: "$params.arguments.amount > 10000 ? 'high' : 'standard'" },
        },
      },
    };
    expect(mapped(mapping, { from_account: 'a', amount: 10_001, currency: 'CHF' })).toEqual([
      {
        subject: { type: 'treasury_user', id: 'alice@example.com' },
        action: { name: 'international_transfer' },
        resource: { type: 'account', id: 'a', attributes: { sensitivity: 'high' } },
      },
    ]);
  });

  it.each<[Json, Json | undefined]>([
    ['plain', 'plain'],
    ['$$50', '$50'],
    ['a $ within', 'a $ within'],
    [10, 10],
    [null, null],
    [
      ['$token.sub', 'x', '$token.?nothing'],
      ['alice@example.com', 'x'],
    ],
    [{ a: '$token.?nothing', b: { c: '$params.name' } }, { b: { c: 'get_customer' } }],
    ['$token.?nothing', undefined],
    ['$token.?client_id', 'agent-app'],
    ["$'urn:' + params.arguments.id", 'urn:cust-12345'],
    ['$params.arguments', { id: 'cust-12345', case: 'case-67890' }],
    ['$size(token.roles)', 1],
    ['$1u', 1],
    ['$token.roles.map(r, r + "!")', ['treasury!']],
    ['$null', null],
  ])('has the value of %j', (template, value) => {
    expect(contextOf(template)).toEqual(value);
  });

  it.each<[string, Json, RegExp]>([
    ['a missing key', about('$params.arguments.region'), /params\.arguments\.region.*failed: No such key/],
    ['no expression', about('$token.'), /is not an expression/],
    ['an unknown variable', about('$process.env'), /Unknown variable/],
    ['a prototype', about('$token.constructor'), /No such key/],
    ['a regular expression', about("$params.name.matches('(a+)+$')"), /matches\(\) is not available/],
    ['a time', about("$timestamp('2026-01-01T00:00:00Z')"), /no value that JSON has/],
    ['bytes', about("$b'a'"), /no value that JSON has/],
    ['a long number', about('$9007199254740993'), /no value that JSON has/],
    ['a long expression', about(`$'${'a'.repeat(3_000)}'`), /too long/],
    ['many parts', about(`$${'1+'.repeat(400)}1`), /is not an expression/],
    ['deep nesting', about(`$${'['.repeat(60)}${']'.repeat(60)}`), /is not an expression/],
    ['no envelope', {}, /one member/],
    ['two envelopes', { evaluation: {}, evaluations: {} }, /one member/],
    ['another envelope', { search: {} }, /one member/],
    ['a list', [], /no object/],
    ['no action', { evaluation: { resource: { type: 'a', id: 'b' } } }, /action is no object/],
    ['no resource', { evaluation: { action: { name: 'a' } } }, /resource is no object/],
    [
      'an absent id',
      { evaluation: { action: { name: 'a' }, resource: { type: 'a', id: '$token.?x' } } },
      /resource\.id is missing/,
    ],
    [
      'a null id',
      { evaluation: { action: { name: 'a' }, resource: { type: 'a', id: '$null' } } },
      /resource\.id is no text/,
    ],
    [
      'another member',
      { evaluation: { action: { name: 'a' }, resource: { type: 'a', id: 'b' }, role: 'admin' } },
      /has no member "role"/,
    ],
    [
      'properties beside',
      { evaluation: { action: { name: 'a' }, resource: { type: 'a', id: 'b', owner: 'me' } } },
      /has no member "owner"/,
    ],
    ['no evaluations', { evaluations: { evaluations: [] } }, /1 to 100/],
    ['101 evaluations', { evaluations: { evaluations: Array.from({ length: 101 }, () => ({})) } }, /1 to 100/],
  ])('is refused for %s', (_, mapping, message) => {
    expect(() => mapped(mapping)).toThrow(MappingError);
    expect(() => mapped(mapping)).toThrow(message);
  });

  it.each<[string, Json]>([
    ['a literal', 'bob'],
    ['an argument', '$params.arguments.user'],
    ['another claim', '$token.client_id'],
  ])('cannot say that the user is %s', (_, id) => {
    const evaluation = { subject: { id }, action: { name: 'a' }, resource: { type: 'a', id: 'b' } };
    expect(() => mapped({ evaluation }, { user: 'bob' })).toThrow('subject.id is not the subject of the token');
    expect(() => mapped({ evaluations: { ...evaluation, evaluations: [{}] } }, { user: 'bob' })).toThrow(MappingError);
  });

  it('cannot name a user within a list of evaluations', () => {
    const entry = { subject: { id: '$token.sub' }, action: { name: 'a' }, resource: { type: 'a', id: 'b' } };
    expect(() => mapped({ evaluations: { evaluations: [entry] } })).toThrow('has no member "subject"');
  });

  it('cannot take long: loops within loops are bounded by what they run through', () => {
    const args = { list: Array.from({ length: 500 }, (_, n) => n) };
    const twice = '$params.arguments.list.all(a, params.arguments.list.all(b, a == a || b == b))';
    const once = '$params.arguments.list.exists(a, a == 499.0)';
    expect(contextOf(once, args)).toBe(true);
    const began = performance.now();
    expect(() => contextOf(twice, args)).toThrow('runs through too many values');
    expect(performance.now() - began).toBeLessThan(500);
  });
});
