import { describe, expect, it } from 'vitest';
import { type PathReading, readPathReading } from '../../src/core/manifest/gateway-paths.js';
import { readYaml } from '../../src/core/manifest/yaml-document.js';
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
    ['/100%25%20off', '/100% off'],
    ['/%25zz', '/%zz'],
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
    ['/%2541dmin', 'a character that is encoded twice'],
    ['/a%2525', 'a character that is encoded twice'],
    ['/a%25c3%25a9', 'a character that is encoded twice'],
    ['/a%253bb', 'a character that is encoded twice'],
    ['/a;v=1/b', 'a path parameter (";")'],
    ['/admin;', 'a path parameter (";")'],
    ['/;/admin', 'a path parameter (";")'],
    ['/admin%3bjsessionid=1', 'a path parameter (";")'],
    ['/a/..%20/b', 'a dot segment with a blank'],
    ['/a/.%20', 'a dot segment with a blank'],
    ['/a/..%c2%a0/b', 'a dot segment with a blank'],
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
    expect(path.query.map(({ name, value }) => [name, value.text])).toEqual([
      ['x', '1'],
      ['x', '2'],
      ['y', 'a b c?d'],
    ]);
  });

  it('keeps path parameters where the mapping says that they are ordinary characters', () => {
    const reading = readingOf('{ parameters: keep }');
    expect(readRequestPath('/a;v=1/b%3Bc', reading)).toMatchObject({ text: '/a;v=1/b;c' });
    expect(readRequestPath('/public/..;/admin', reading)).toBe('a dot segment with a parameter');
    expect(readRequestPath('/public/%2e%2e;/admin', reading)).toBe('an encoded dot segment');
  });

  it.each([
    ['/Admin/Users', '/admin/users'],
    ['/ADMIN', '/admin'],
    ['/%41dmin', '/admin'],
    ['/admin./users', '/admin/users'],
    ['/admin%20', '/admin'],
    ['/admin%20.%20.', '/admin'],
    ['/ad%C5%BFmin', '/adsmin'],
    ['/%E2%84%AAey', '/key'],
    ['/admin/', '/admin/'],
  ])('%s is %s to a server that ignores case', (target, expected) => {
    expect(readRequestPath(target, readingOf('{ case: ignore }'))).toMatchObject({ text: expected });
  });

  it('keeps dots and blanks at the end where the mapping says so, and drops them where it says so', () => {
    expect(readRequestPath('/Admin.', readingOf('{ case: ignore, trailing: keep }'))).toMatchObject({
      text: '/admin.',
    });
    expect(readRequestPath('/Admin.', readingOf('{ trailing: ignore }'))).toMatchObject({ text: '/Admin' });
    expect(readRequestPath('/a/...', readingOf('{ trailing: ignore }'))).toBe('a segment of dots and blanks alone');
    expect(readRequestPath('/a/%20/b', readingOf('{ trailing: ignore }'))).toBe('a segment of dots and blanks alone');
  });

  it.each([
    ['/admin/', '/admin'],
    ['/admin/x/..', '/admin'],
    ['/admin//', '/admin'],
    ['/', '/'],
    ['/a/..', '/'],
    ['//', '/'],
  ])('%s is %s to a server that ignores a slash at the end', (target, expected) => {
    expect(readRequestPath(target, readingOf('{ slash: ignore }'))).toMatchObject({ text: expected });
  });
});

function readingOf(text: string): PathReading {
  const node = readYaml({ file: 'paths.yaml', text }, (problem) => {
    throw new Error(problem.message);
  });
  return readPathReading(node!);
}
