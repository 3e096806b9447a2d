/** No command writes invisible characters or control codes to a terminal, for any input. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { alignColumns, beginning, columnsOf, printTable } from '../../src/cli/print/table.js';
import { Terminal } from '../../src/cli/print/terminal.js';
import { verdict, workFolder } from './run.js';

/** Line feeds end our own lines; with everything else below, one of somebody's text would have got through. */
const unseen = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
const nasty = {
  'colours (SGR)': '\u001b[31mred\u001b[0m',
  'a title (OSC)': '\u001b]0;title\u0007',
  'a link (OSC 8)': '\u001b]8;;https://example.org\u001b\\link',
  'one-byte controls': 'a\u009b2Jb',
  'a mark of direction': 'ann\u200e',
  'an override of direction': '\u202etxt.exe',
  'an isolate': 'a\u2066b\u2069',
  'a line separator': 'one\u2028two',
  'a paragraph separator': 'one\u2029two',
  'nothing between letters': 'ad\u200bmin',
  'a join': 'ad\u200dmin',
  'a carriage return': 'deny\rallow',
  'a backspace': 'deny\b\b\b\ballow',
  'a lone surrogate': 'a\ud800b',
};

function terminal() {
  const written: string[] = [];
  const stream = { isTTY: true, columns: 60, write: (text: string) => written.push(text) };
  return { written, terminal: new Terminal(stream, stream, {}) };
}

describe.each(Object.entries(nasty))('a text with %s', (_what, text) => {
  it('is spelled out wherever a terminal writes it', () => {
    const { written, terminal: out } = terminal();
    out.print(`rule ${text}`);
    out.remark(`because of ${text}`);
    out.printLines(`one ${text}`);
    printTable(out, ['name'], [[text], ['other']]);
    out.printJson({ [text]: [text] });
    const [bold, plain] = ['\u001b[1m', '\u001b[22m'];
    expect(written.join('').replaceAll(bold, '').replaceAll(plain, '')).not.toMatch(unseen);
  });

  it('is the same text to a program that reads the JSON', () => {
    const { written, terminal: out } = terminal();
    out.printJson({ [text]: text }, 0);
    expect(JSON.parse(written.join(''))).toEqual({ [text]: text });
    expect(written.join('').match(/\n/g)).toHaveLength(1);
  });
});

it('a line feed in a text makes no line of its own', () => {
  const { written, terminal: out } = terminal();
  out.print('deny\nALLOW  a rule allows it');
  expect(written.join('')).toBe('deny\\nALLOW  a rule allows it\n');
});

describe('columns', () => {
  it('are as wide as a terminal shows their letters', () => {
    const rows = [
      ['名前', 'x'],
      ['abcd', 'y'],
      ['e\u0301e\u0301', 'z'],
    ];
    expect(alignColumns(rows)).toEqual(['名前  x', 'abcd  y', 'e\u0301e\u0301    z']);
  });

  it.each([
    ['名前', 4],
    ['👩‍👩‍👧', 2],
    ['e\u0301', 1],
    ['plain', 5],
  ])('%s takes %i', (text, columns) => expect(columnsOf(text)).toBe(columns));

  it.each([
    ['名前名前', 5, '名前'],
    ['名', 1, '名'],
    ['a👍🏽b', 3, 'a👍🏽'],
  ])('of %s, %i columns hold %s', (text, columns, begins) => expect(beginning(text, columns)).toBe(begins));

  it('break where a terminal is at its end, and not within a letter', () => {
    const { written, terminal: out } = terminal();
    printTable(out, ['name', 'text'], [['a', '漢'.repeat(80)]]);
    for (const line of written.slice(1)) expect(columnsOf(line.trimEnd())).toBeLessThanOrEqual(60);
    expect(written.join('').match(/漢/g)).toHaveLength(80);
  });
});

describe('a command', () => {
  const reason = 'see \u001b]0;owned\u0007 \u001b[2J\u200e\u2028 and \u202eback';

  it.each([
    ['decide', '--subject', 'ann', '--action', 'read', '--resource', 'doc'],
    ['explain', '--subject', 'ann', '--action', 'read', '--resource', 'doc'],
    ['access-review'],
    ['lint'],
  ])(
    '%s shows nothing unseen of a policy file, as text and as JSON',
    async (name, ...args) => {
      const cwd = workFolder({ policies: false });
      mkdirSync(join(cwd, 'set'));
      writeFileSync(
        join(cwd, 'set/model.conf'),
        '[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act, reason\n' +
          '[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = r.sub == p.sub && r.obj == p.obj && r.act == p.act\n',
      );
      writeFileSync(
        join(cwd, 'set/rules.csv'),
        `p, ann, doc, read, "${reason}"\np, "bo\u200eb", doc, read, "${reason}"\n`,
      );
      for (const output of ['text', 'json']) {
        const ran = await verdict([name, 'set', ...args, '--output', output], { cwd });
        expect(ran.stdout).not.toBe('');
        expect(`${ran.stdout}${ran.stderr}`).not.toMatch(unseen);
      }
    },
    60_000,
  );

  it('shows nothing unseen of what a server answers', async () => {
    const server = createServer((_request, response) => {
      response.writeHead(403, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ title: reason, detail: `no\nverdict: yes ${reason}` }));
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const ran = await verdict(['policy', 'list', '--url', url], { cwd: workFolder({ policies: false }) });
    server.close();
    expect(ran.code).toBe(2);
    expect(ran.stderr).not.toMatch(unseen);
    expect(ran.stderr.trimEnd().split('\n')).toHaveLength(2);
  });
});
