import { pino } from 'pino';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { suppressRepeats } from '../../src/logging/repeated-lines.js';

let lines: { level: number; msg: string; suppressed?: number; err?: { message: string } }[];
const logger = () =>
  pino({ level: 'debug', hooks: { logMethod: suppressRepeats() } }, { write: (line) => lines.push(JSON.parse(line)) });

beforeEach(() => {
  lines = [];
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const full = () => ({
  err: new Error('SQLITE_FULL'),
  code: 'decision_log_unavailable',
  requestId: String(Math.random()),
});

it('a thousand requests that fail for one reason are a line a minute, which says how many were left out', () => {
  const log = logger();
  for (let i = 0; i < 1_000; i++) log.error(full(), 'The decision could not be recorded, so it is not answered.');
  expect(lines).toHaveLength(1);
  vi.advanceTimersByTime(59_999);
  expect(lines).toHaveLength(1);
  vi.advanceTimersByTime(1);
  expect(lines).toHaveLength(2);
  expect(lines[1]).toMatchObject({ level: 50, suppressed: 999, msg: lines[0]!.msg, err: { message: 'SQLITE_FULL' } });
});

it('it goes on so for as long as requests fail, and ends when they do not', () => {
  const log = logger();
  for (let second = 0; second < 300; second++) {
    log.error(full(), 'The decision could not be recorded.');
    vi.advanceTimersByTime(1_000);
  }
  expect(lines.length).toBeLessThanOrEqual(6);
  expect(lines.reduce((sum, { suppressed = 0 }) => sum + suppressed, 0)).toBeGreaterThanOrEqual(299 - 60);
  vi.advanceTimersByTime(600_000);
  const ended = lines.length;
  vi.advanceTimersByTime(600_000);
  expect(lines).toHaveLength(ended);
  expect(lines.reduce((sum, { suppressed = 0 }) => sum + suppressed, 0)).toBe(299);
  log.error(full(), 'The decision could not be recorded.');
  expect(lines.at(-1)).not.toHaveProperty('suppressed');
});

it('lines that say something else are written: another text, policy set or code', () => {
  const log = logger();
  log.error('one');
  log.error('two');
  log.error({ policySet: 'a' }, 'one');
  log.error({ policySet: 'b' }, 'one');
  log.error({ code: 'internal_error' }, 'one');
  expect(lines).toHaveLength(5);
});

it('numbers do not make a line another one', () => {
  const log = logger();
  log.error('3 audit events could not be written');
  log.error('17 audit events could not be written');
  expect(lines).toHaveLength(1);
});

it('lines of other levels are all written', () => {
  const log = logger();
  for (const level of ['debug', 'info', 'warn', 'fatal'] as const) {
    log[level]('again');
    log[level]('again');
  }
  expect(lines).toHaveLength(8);
});

it('however many kinds of lines there are, what is remembered of them is bounded', () => {
  const log = logger();
  for (let i = 0; i < 5_000; i++) log.error(`text ${'abcdefghij'[i % 10]}${String.fromCharCode(0x4e00 + i)}`);
  expect(lines.length).toBeLessThanOrEqual(1_001);
  vi.advanceTimersByTime(60_000);
  expect(lines.at(-1)!.suppressed).toBe(3_999);
});
