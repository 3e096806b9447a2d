import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { valueFunctions } from '../../../src/core/matcher/functions/value-functions.js';
import { evaluate } from './expressions.js';

const page = readFileSync(new URL('../../../docs/expressions.md', import.meta.url), 'utf8');
const request = JSON.parse(/```json request\n(.*?)```/s.exec(page)![1]!);
const lines = [...page.matchAll(/```expression\n(.*?)```/gs)].flatMap(([, block]) => block!.trim().split('\n'));
const asked = {
  request,
  rule: { sub: 'alice', obj: 'invoice', act: 'read', limit: '1000' },
  now: Date.parse('2026-03-03T10:00:00Z'),
};

describe('docs/expressions.md', () => {
  it.each(lines)('%s', (line) => {
    const [, text, wanted] = /^(.*?) +\/\/ (.*)$/.exec(line)!;
    const answers = [evaluate(text!, { ...asked, isCondition: true })];
    // In a matcher a character beyond ASCII is several, as in Casbin.
    if (/^[\x20-\x7e]*$/.test(text!)) answers.push(evaluate(text!, asked));
    for (const answer of answers) {
      if (/^(?:error|syntax)/.test(wanted!)) expect(answer).toEqual({ error: wanted });
      else expect(answer).toMatchObject({ value: JSON.parse(wanted!) });
    }
  });

  it('has a line for every operator', () => {
    const expressions = lines.map((line) => line.slice(0, line.indexOf(' // '))).join('\n');
    const operators = '== != < <= > >= =~ !~ in && || ! ? : ?? + - * / % ** & | ^ << >> ~'.split(' ');
    const missing = operators.filter((operator) => !expressions.includes(operator));
    expect(missing).toEqual([]);
  });

  it('has a line for every function on texts, numbers and lists', () => {
    const names = [...valueFunctions.map(({ name }) => name), 'any', 'all', 'count', 'has'];
    for (const name of names)
      expect(
        lines.some((line) => line.includes(`${name}(`)),
        name,
      ).toBe(true);
  });
});
