import { describe, expect, it } from 'vitest';
import { readRequestPath } from '../../src/gateway/request-path.js';

const textOf = (target: string) => {
  const path = readRequestPath(target);
  return typeof path === 'string' ? undefined : path.text;
};

describe('the path of a request', () => {
  it.each([
    ['/', '/'],
    ['/orders/42', '/orders/42'],
    ['/orders/', '/orders/'],
    ['/orders//42', '/orders/42'],
    ['//orders', '/orders'],
    ['/a/./b', '/a/b'],
    ['/a/../b', '/b'],
    ['/a/b/..', '/a/'],
    ['/a/.', '/a/'],
    ['/../a', '/a'],
    ['/..', '/'],
    ['/a%20b', '/a b'],
    ['/caf%C3%A9', '/café'],
    ['/%61dmin', '/admin'],
    ['/a?x=/../b', '/a'],
    ['/a?x=%2e%2e%2f', '/a'],
    ['/100%25', '/100%'],
    ['/...', '/...'],
    ['/a;v=1/b', '/a;v=1/b'],
    ['/A/B', '/A/B'],
  ])('%s is %s', (target, expected) => {
    expect(textOf(target)).toBe(expected);
  });

  it.each([
    ['/a%2Fb', 'an encoded slash'],
    ['/a%2fb', 'an encoded slash'],
    ['/public/%2e%2e/admin', 'an encoded dot segment'],
    ['/public/%2E./admin', 'an encoded dot segment'],
    ['/public/.%2e', 'an encoded dot segment'],
    ['/a/%2e/b', 'an encoded dot segment'],
    ['/a\\b', 'a backslash'],
    ['/a%5cb', 'an encoded backslash'],
    ['/a%00b', 'an encoded control character'],
    ['/a%0d%0ab', 'an encoded control character'],
    ['/a%7fb', 'an encoded control character'],
    ['/a%c2%85b', 'an encoded control character'],
    ['/a\u0000b', 'a space, a control character or a character beyond ASCII'],
    ['/a b', 'a space, a control character or a character beyond ASCII'],
    ['/caf\u00c3\u00a9', 'a space, a control character or a character beyond ASCII'],
    ['/a%252e%252e/b', 'a character that is encoded twice'],
    ['/a%252Fb', 'a character that is encoded twice'],
    ['/%', 'a percent sign that encodes nothing'],
    ['/%zz', 'a percent sign that encodes nothing'],
    ['/%u002e', 'a percent sign that encodes nothing'],
    ['/%c0%ae%c0%ae/a', 'encoded bytes that are not UTF-8'],
    ['/%e9', 'encoded bytes that are not UTF-8'],
    ['/public/..;/admin', 'a dot segment with a parameter'],
    ['/public/..;a=b/admin', 'a dot segment with a parameter'],
    ['/public/%2e%2e;/admin', 'an encoded dot segment'],
    ['/a//../b', 'dot segments beside empty segments'],
    ['/a/b#c', 'a fragment'],
    ['*', 'a target that does not begin with a slash'],
    ['', 'a target that does not begin with a slash'],
    ['http://host/a', 'a target that does not begin with a slash'],
  ])('%j is ambiguous: %s', (target, fault) => {
    expect(readRequestPath(target)).toBe(fault);
  });

  it('has the query beside it', () => {
    const path = readRequestPath('/a?x=1&x=2&y=a%20b+c?d');
    if (typeof path === 'string') throw new Error(path);
    expect(path.query.getAll('x')).toEqual(['1', '2']);
    expect(path.query.get('y')).toBe('a b c?d');
  });
});
