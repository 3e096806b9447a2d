import { describe, expect, it } from 'vitest';
import { builtInFunctions } from '../../../src/core/matcher/functions/built-in-functions.js';
import { FunctionError } from '../../../src/core/matcher/functions/function-definition.js';
import { matcherSource } from '../../../src/core/matcher/source-text.js';
import type { Json } from '../../../src/core/request.js';
import { unmetered } from '../../../src/core/step-budget.js';

const error = Symbol('error');

function call(name: string, args: Json[], clock = '2026-03-01T09:30:15.750Z'): Json | typeof error {
  const definition = builtInFunctions.get(name);
  if (definition === undefined) throw new Error(`no function ${name}`);
  try {
    return definition.call(args, Date.parse(clock), unmetered);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(FunctionError);
    return error;
  }
}

describe('now', () => {
  it('is whole seconds since 1970', () => {
    expect(call('now', [])).toBe(Date.parse('2026-03-01T09:30:15Z') / 1000);
    expect(call('now', [], '1969-12-31T23:59:59.500Z')).toBe(-1);
  });
});

describe('timestamp', () => {
  it.each<[string, Json, number | typeof error]>([
    ['UTC', '2026-03-01T09:00:00Z', 1772355600],
    ['an offset to the east', '2026-03-01T10:30:00+01:30', 1772355600],
    ['an offset to the west', '2026-02-28T23:00:00-10:00', 1772355600],
    ['a fraction', '2026-03-01T09:00:00.25Z', 1772355600.25],
    ['lower case', '2026-03-01t09:00:00z', 1772355600],
    ['the first year', '0000-01-01T00:00:00Z', -62167219200],
    ['a number, which a literal date in a matcher already is', 1772355600, 1772355600],
    ['no zone', '2026-03-01T09:00:00', error],
    ['a date', '2026-03-01', error],
    ['a space', '2026-03-01 09:00:00Z', error],
    ['a day that does not exist', '2026-02-29T09:00:00Z', error],
    ['an hour that does not exist', '2026-03-01T24:00:00Z', error],
    ['an offset that does not exist', '2026-03-01T09:00:00+24:00', error],
    ['a leap second', '2016-12-31T23:59:60Z', error],
    ['text behind it', '2026-03-01T09:00:00Z ', error],
    ['null', null, error],
    ['a list', ['2026-03-01T09:00:00Z'], error],
    ['true', true, error],
  ])('%s', (_, time, seconds) => {
    expect(call('timestamp', [time])).toBe(seconds);
  });
});

describe('timeOfDay and weekday', () => {
  it.each<[string, string, string, string | typeof error, number | typeof error]>([
    ['UTC', 'UTC', '2026-03-01T09:30:15Z', '09:30', 7],
    ['winter', 'Europe/Berlin', '2026-03-01T09:30:15Z', '10:30', 7],
    ['summer', 'Europe/Berlin', '2026-07-01T09:30:15Z', '11:30', 3],
    ['before the clock goes forward', 'Europe/Berlin', '2026-03-29T00:59:59Z', '01:59', 7],
    ['after the clock went forward', 'Europe/Berlin', '2026-03-29T01:00:00Z', '03:00', 7],
    ['the next day in the east', 'Asia/Tokyo', '2026-03-01T15:00:00Z', '00:00', 1],
    ['the day before in the west', 'America/New_York', '2026-03-01T04:59:59Z', '23:59', 6],
    ['an offset of quarters', 'Asia/Kathmandu', '2026-03-01T09:30:00Z', '15:15', 7],
    ['midnight is 00:00', 'UTC', '2026-03-02T00:00:00Z', '00:00', 1],
    ['any case', 'europe/berlin', '2026-03-01T09:30:15Z', '10:30', 7],
    ['no such zone', 'Europe/Atlantis', '2026-03-01T09:30:15Z', error, error],
    ['an offset is no zone', '+01:00', '2026-03-01T09:30:15Z', error, error],
    ['nothing is no zone', '', '2026-03-01T09:30:15Z', error, error],
    ['a name from the prototype is no zone', '__proto__', '2026-03-01T09:30:15Z', error, error],
  ])('%s', (_, zone, clock, timeOfDay, weekday) => {
    expect([call('timeOfDay', [zone], clock), call('weekday', [zone], clock)]).toEqual([timeOfDay, weekday]);
  });

  it('what is remembered of one second is not used for another', () => {
    expect(call('timeOfDay', ['UTC'], '2026-03-01T09:59:59.999Z')).toBe('09:59');
    expect(call('timeOfDay', ['UTC'], '2026-03-01T10:00:00.000Z')).toBe('10:00');
    expect(call('timeOfDay', ['UTC'], '2026-03-01T09:59:59.999Z')).toBe('09:59');
  });
});

describe('betweenHours', () => {
  const at = (clock: string, from: string, to: string) =>
    call('betweenHours', ['UTC', from, to], `2026-03-01T${clock}Z`);

  it.each<[string, string, string, string, boolean | typeof error]>([
    ['the first minute is in', '09:00:00', '09:00', '17:00', true],
    ['the last second is in', '16:59:59', '09:00', '17:00', true],
    ['the end is out', '17:00:00', '09:00', '17:00', false],
    ['before the start is out', '08:59:59', '09:00', '17:00', false],
    ['over midnight, in the evening', '22:00:00', '22:00', '06:00', true],
    ['over midnight, in the morning', '05:59:59', '22:00', '06:00', true],
    ['over midnight, at the end', '06:00:00', '22:00', '06:00', false],
    ['over midnight, at noon', '12:00:00', '22:00', '06:00', false],
    ['up to midnight', '23:59:59', '18:00', '24:00', true],
    ['up to midnight, written 00:00', '23:59:59', '18:00', '00:00', true],
    ['the whole day', '00:00:00', '00:00', '24:00', true],
    ['the same time twice could mean all or nothing', '09:00:00', '09:00', '09:00', error],
    ['one digit is no time', '09:00:00', '9:00', '17:00', error],
    ['24:01 is no time', '09:00:00', '09:00', '24:01', error],
    ['60 is no minute', '09:00:00', '09:60', '17:00', error],
  ])('%s', (_, clock, from, to, answer) => {
    expect(at(clock, from, to)).toBe(answer);
  });

  it('reads the clock in the zone', () => {
    expect(call('betweenHours', ['America/New_York', '09:00', '17:00'], '2026-03-02T13:59:00Z')).toBe(false);
    expect(call('betweenHours', ['America/New_York', '09:00', '17:00'], '2026-03-02T14:00:00Z')).toBe(true);
    expect(call('betweenHours', ['Nowhere', '09:00', '17:00'])).toBe(error);
  });
});

describe('ipInRanges', () => {
  it.each<[string, string, Json, boolean | typeof error]>([
    ['the first range', '10.1.2.3', '10.0.0.0/8, 192.168.0.0/16', true],
    ['the last range', '192.168.2.3', '10.0.0.0/8,192.168.0.0/16', true],
    ['none of them', '11.1.2.3', '10.0.0.0/8, 192.168.0.0/16', false],
    ['IPv6 beside IPv4', '2001:db8::1', '10.0.0.0/8, 2001:db8::/32', true],
    ['a single address', '10.0.0.7', '10.0.0.7', true],
    ['a list', '10.1.2.3', ['192.168.0.0/16', '10.0.0.0/8'], true],
    ['an empty list', '10.1.2.3', [], false],
    ['an empty text', '10.1.2.3', ' ', false],
    ['a broken range behind one that fits', '10.1.2.3', '10.0.0.0/8, 10.0.0.0/33', error],
    ['a broken range in a list', '10.1.2.3', ['10.0.0.0/8', 'intranet'], error],
    ['a comma too many', '10.1.2.3', '10.0.0.0/8,', error],
    ['a number in a list', '10.1.2.3', [10], error],
    ['no ranges at all', '10.1.2.3', null, error],
    ['no address', 'localhost', '10.0.0.0/8', error],
    ['no address, no ranges', 'localhost', [], error],
  ])('%s', (_, address, ranges, answer) => {
    expect(call('ipInRanges', [address, ranges])).toBe(answer);
  });
});

describe('the catalogue', () => {
  const definitions = [...builtInFunctions.values()];

  it("has Casbin's functions and Verdict's own", () => {
    const namesOf = (origin: string) => definitions.filter((each) => each.origin === origin).map(({ name }) => name);
    expect(namesOf('casbin').sort()).toEqual(
      'globMatch ipMatch keyGet keyGet2 keyGet3 keyMatch keyMatch2 keyMatch3 keyMatch4 keyMatch5 regexMatch'.split(' '),
    );
    const own =
      'betweenHours contains duration endsWith intersects ipInRanges lower now number size startsWith subset text';
    expect(namesOf('verdict').sort()).toEqual(`${own} timeOfDay timestamp weekday`.split(' '));
  });

  it('each function is found by its name, frozen and described', () => {
    for (const [name, definition] of builtInFunctions) {
      expect(definition.name).toBe(name);
      expect(Object.isFrozen(definition)).toBe(true);
      expect(definition.summary).toMatch(/\.$/);
      expect(definition.example).toContain(`${name}(`);
    }
  });

  it('no name of Verdict\'s own makes brackets parentheses, as the letters "in" do in Casbin', () => {
    for (const { name, origin } of definitions) {
      if (origin === 'verdict') expect(matcherSource(`${name}([1])`, { fromModel: true }).text).toBe(`${name}([1])`);
    }
    expect(matcherSource('r_sub.main == [r_obj]', { fromModel: true }).text).toBe('r_sub.main == (r_obj)');
  });

  it('the examples that say what comes out are right', () => {
    const examples = definitions.flatMap(({ name, example }) => {
      const match = /^\w+\((.*)\) \/\/ (.*)$/.exec(example);
      return match === null
        ? []
        : [{ name, args: JSON.parse(`[${match[1]}]`) as Json[], answer: JSON.parse(match[2] ?? '') }];
    });
    expect(examples.length).toBe(11);
    for (const { name, args, answer } of examples) expect(call(name, args), name).toBe(answer);
  });
});
