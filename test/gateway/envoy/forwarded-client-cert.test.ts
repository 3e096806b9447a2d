import { describe, expect, it } from 'vitest';
import { certificateNameIn } from '../../../src/gateway/envoy/forwarded-client-cert.js';

describe('the name in X-Forwarded-Client-Cert', () => {
  it.each([
    [
      'By=spiffe://a/edge;Hash=46;Subject="CN=shop,O=Acme";URI=spiffe://acme/shop;DNS=shop.internal',
      'spiffe://acme/shop',
    ],
    ['Hash=46;Subject="CN=shop";URI=;DNS=shop.internal;DNS=b.internal', 'shop.internal'],
    ['Hash=46;Subject="CN=\\"a\\",O=b;c";URI=', 'CN="a",O=b;c'],
    ['uri="spiffe://acme/a=b"', 'spiffe://acme/a=b'],
    ['Hash=46', undefined],
    ['Hash=46;URI=spiffe://acme/shop;URI=spiffe://acme/admin', undefined],
    ['', undefined],
  ])('of %s is %s', (header, name) => {
    expect(certificateNameIn(header)).toBe(name);
  });

  it.each([
    'URI=spiffe://acme/shop,URI=spiffe://acme/admin',
    'Hash=46,',
    'spiffe://acme/shop',
    'URI="spiffe://acme/shop',
    'URI="a"b',
    ' URI=a',
    `Cert="${'a'.repeat(9_000)}";URI=a`,
  ])('is refused: %s', (header) => {
    expect(() => certificateNameIn(header)).toThrow('X-Forwarded-Client-Cert');
  });
});
