import { describe, expect, it } from 'vitest';
import { describePostgresUrl, parsePostgresUrl } from '../../src/config/postgres-url.js';

describe('the URL of a PostgreSQL database', () => {
  it.each([
    [
      'postgres://verdict:secret@db.example:6432/log',
      { host: 'db.example', port: 6432, user: 'verdict', password: 'secret', database: 'log', tlsMode: 'verify-full' },
    ],
    [
      'postgresql://u@localhost/d',
      { host: 'localhost', port: 5432, user: 'u', database: 'd', schema: 'verdict', tlsMode: 'disable' },
    ],
    ['postgres://u@[::1]:5433/d', { host: '::1', port: 5433, tlsMode: 'disable' }],
    ['postgres://u%40x:a%3Ab%2Fc%25@db/d%20e', { user: 'u@x', password: 'a:b/c%', database: 'd e' }],
    ['postgres://u:@db/d', { user: 'u' }],
    ['postgres://u@/d?host=/run/postgresql', { host: '/run/postgresql', port: 5432, tlsMode: 'disable' }],
    ['postgres://u@:6000/d?host=%2Frun%2Fpostgresql', { host: '/run/postgresql', port: 6000 }],
    ['postgres://u@db/d?sslmode=disable&schema=other', { tlsMode: 'disable', schema: 'other' }],
    ['postgres://u@db/d?sslmode=require', { tlsMode: 'require' }],
    // As libpq does: an authority that is named is asked.
    ['postgres://u@db/d?sslmode=require&sslrootcert=/ca.pem', { tlsMode: 'verify-ca', tlsRootCert: '/ca.pem' }],
    [
      'postgres://u@db/d?sslmode=verify-ca&sslcert=/c.pem&sslkey=/k.pem',
      { tlsMode: 'verify-ca', tlsCert: '/c.pem', tlsKey: '/k.pem' },
    ],
    ['postgres://u@localhost/d?sslmode=verify-full', { tlsMode: 'verify-full' }],
  ])('%s is read', (text, expected) => {
    expect(parsePostgresUrl(text)).toMatchObject(expected);
  });

  it.each([
    ['postgres:db', /^must be postgres:\/\/<user>/],
    ['postgres://db/d', /^names no user/],
    ['postgres://:hunter2@db/d', /^names no user/],
    ['postgres://u:hunter2@/d', /^names no host/],
    ['postgres://u:hunter2@db', /^names no database/],
    ['postgres://u:hunter2@db/', /^names no database/],
    ['postgres://u:hun@hunter2@db/d', /^has an "@", "\/" or "\?" in its user or password/],
    ['postgres://u:hun/hunter2@db/d', /^has an "@", "\/" or "\?" in its user or password/],
    ['postgres://u:hun?hunter2@db/d', /^has an "@", "\/" or "\?" in its user or password/],
    ['postgres://u:hun#hunter2@db/d', /^must be/],
    ['postgres://u:hun:hunter2@db/d', /^has a ":" in its password/],
    ['postgres://u:hunter2%@db/d', /^has a "%" in its password/],
    ['postgres://u:hunter2@one,two/d', /^names several hosts/],
    ['postgres://u:hunter2@db:x/d', /^has a host or port that cannot be read/],
    ['postgres://u:hunter2@db:0/d', /^has a port/],
    ['postgres://u:hunter2@db:65536/d', /^has a port/],
    ['postgres://u:hunter2@db/d?sslmode=prefer', /^has an "sslmode" that is not one of disable, require/],
    ['postgres://u:hunter2@db/d?sslmode=disable&sslrootcert=/ca', /^names certificates, but/],
    ['postgres://u:hunter2@db/d?sslcert=/c', /^has one of "sslcert" and "sslkey" without the other/],
    ['postgres://u:hunter2@db/d?password=hunter2', /^has a parameter that is not known, "password"/],
    ['postgres://u:hunter2@db/d?sslmode=require&sslmode=disable', /^has the parameter "sslmode" twice/],
    ['postgres://u:hunter2@db/d?schema=', /^has the parameter "schema" without a value/],
    ['postgres://u:hunter2@db/d?schema=pg_catalog', /^has a "schema" that/],
    [`postgres://u:hunter2@db/d?schema=${'x'.repeat(64)}`, /^has a "schema" that/],
    ['postgres://u:hunter2@db/d?schema=a%22b', /^has a "schema" that/],
    ['postgres://u:hunter2@db/d?host=/run', /^has a host and the parameter "host"/],
    ['postgres://u:hunter2@/d?host=db', /^has a parameter "host" that is not the folder/],
  ])('%s is refused, without its password', (text, fault) => {
    let message = '';
    try {
      parsePostgresUrl(text);
    } catch (error) {
      ({ message } = error as Error);
    }
    expect(message).toMatch(fault);
    expect(message).not.toMatch('hunter2');
  });

  it('allows a schema of 63 characters', () => {
    expect(parsePostgresUrl(`postgres://u@db/d?schema=${'x'.repeat(63)}`).schema).toHaveLength(63);
  });

  it.each([
    ['postgres://u:hunter2@db/d?schema=s', 'postgres://u@db:5432/d'],
    ['postgres://u:hunter2@[::1]/d', 'postgres://u@[::1]:5432/d'],
  ])('%s is %s in messages', (text, shown) => {
    expect(describePostgresUrl(parsePostgresUrl(text))).toBe(shown);
  });
});
