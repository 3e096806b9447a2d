/** Where a command writes: results to stdout, remarks to stderr, colours only where a person looks. */
import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { spellUnseen } from '../../core/quote.js';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

export interface TerminalStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export class Terminal {
  /** In columns; without end where no person reads, so that nothing is wrapped there. */
  readonly width: number;
  /** Whether a person reads what is printed, and not a file or another program. */
  readonly isTTY: boolean;
  private readonly coloured: boolean;
  private readonly showsProgress: boolean;

  constructor(
    private readonly stdout: TerminalStream,
    private readonly stderr: TerminalStream,
    readonly env: Readonly<Record<string, string | undefined>>,
  ) {
    // https://no-color.org: any value but the empty one.
    const refused = (env.NO_COLOR ?? '') !== '' || env.TERM === 'dumb';
    this.isTTY = stdout.isTTY === true;
    this.coloured = this.isTTY && !refused;
    this.width = this.isTTY ? Math.max(narrowest, stdout.columns || 80) : Number.POSITIVE_INFINITY;
    this.showsProgress = stderr.isTTY === true && env.TERM !== 'dumb';
  }

  print(text = ''): void {
    this.stdout.write(`${this.visible(text)}\n`);
  }

  remark(text: string): void {
    this.stderr.write(`${this.visible(text)}\n`);
  }

  /** Columns as wide as the terminal has room for; longer cells go on in the next line. */
  printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
    const [titles = '', ...lines] = alignColumns(wrapCells([head, ...rows], this.width));
    this.print(this.style('bold', titles));
    for (const line of lines) this.print(line);
  }

  /** A line that the next one takes the place of, and that is gone at the end: for long work, and only for people. */
  progress(text: string): void {
    if (!this.showsProgress) return;
    // What reaches the next line would stay there.
    const line = spellUnseen(text).slice(0, Math.max(narrowest, this.stderr.columns || 80) - 1);
    this.stderr.write(`\r\u001b[K${line}`);
  }

  /** Runs work that may take long, and says on a terminal what it is and for how long it has been going on. */
  finish<T>(what: string, work: Iterator<void, T>): T {
    const start = performance.now();
    let shown = -1;
    for (;;) {
      const seconds = Math.floor((performance.now() - start) / 1_000);
      if (seconds > shown) this.progress(seconds === 0 ? what : `${what}, ${seconds} s`);
      shown = seconds;
      const step = work.next();
      if (step.done !== true) continue;
      this.progress('');
      return step.value;
    }
  }

  style(style: Style, text: string): string {
    if (!this.coloured) return text;
    const [on, off] = inspect.colors[style] as [number, number];
    return `{${mark}:${on}}${text}{${mark}:${off}}`;
  }

  /**
   * What comes from a file must not be able to move the cursor, to write over a line, to colour, or to turn the order of
   * letters round: who reads a diff of somebody's rules relies on seeing them.
   */
  private visible(text: string): string {
    return spellUnseen(text, '\n\t\u200c\u200d').replace(marked, '\u001b[$1m');
  }
}

/** What a style is in the text until it is written: an escape sequence of a file is not one of ours. */
const mark = randomBytes(8).toString('hex');
const marked = new RegExp(`\\{${mark}:(\\d+)\\}`, 'g');

const narrowest = 40;
const narrowestColumn = 8;
const gap = 2;

/** Rows of cells that fit: the widest columns give way, and a cell that is too long for its column becomes several rows. */
function wrapCells(rows: readonly (readonly string[])[], width: number): readonly (readonly string[])[] {
  const widths = columnWidths(rows);
  if (excessOf(widths, width) <= 0) return rows;
  const words = columnWidths(rows.map((row) => row.map((cell) => longestWord(cell))));
  // Words are broken only where breaking between them is not enough.
  narrow(widths, width, (column) => Math.max(words[column] as number, narrowestColumn));
  narrow(widths, width, () => narrowestColumn);
  return rows.flatMap((row) => {
    const cells = row.map((cell, column) => wrap(cell, widths[column] as number));
    const height = Math.max(...cells.map(({ length }) => length));
    return Array.from({ length: height }, (_, line) => cells.map((lines) => lines[line] ?? ''));
  });
}

/** Takes from the widest columns what is too much, but leaves each as wide as `least` says. */
function narrow(widths: number[], width: number, least: (column: number) => number): void {
  let excess = excessOf(widths, width);
  while (excess > 0) {
    let widest: number | undefined;
    for (const [column, each] of widths.entries()) {
      if (each > least(column) && (widest === undefined || each > (widths[widest] as number))) widest = column;
    }
    if (widest === undefined) return;
    widths[widest] = (widths[widest] as number) - 1;
    excess--;
  }
}

function excessOf(widths: readonly number[], width: number): number {
  return widths.reduce((sum, each) => sum + each + gap, -gap) - width;
}

function longestWord(text: string): string {
  return text.split(' ').reduce((longest, word) => (word.length > longest.length ? word : longest), '');
}

/** Lines of at most `width` characters, broken at spaces where there are some. */
function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > width) {
    const space = rest.lastIndexOf(' ', width);
    // Never within a character of two code units.
    const cut = /[\uDC00-\uDFFF]/.test(rest.charAt(width)) ? width - 1 : width;
    const end = space > 0 ? space : cut;
    lines.push(rest.slice(0, end));
    rest = rest.slice(end).trimStart();
  }
  return [...lines, rest];
}

function columnWidths(rows: readonly (readonly string[])[]): number[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  }
  return widths;
}

/**
 * Columns as wide as their widest cell, two spaces apart; the last one is not padded.
 *
 *     alignColumns([['a', 'bcd'], ['ef', 'g']])   // ['a   bcd', 'ef  g']
 */
export function alignColumns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = columnWidths(rows);
  return rows.map((row) =>
    row
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join(' '.repeat(gap))
      .trimEnd(),
  );
}
