/** Cells in columns, measured as a terminal shows them. What measures is slow to load: only commands with tables import this. */
import stringWidth from 'string-width';
import { spellUnseen } from '../../core/quote.js';
import type { Terminal } from './terminal.js';

const narrowestColumn = 8;
const gap = 2;

/** Prints columns as wide as the terminal has room for; longer cells go on in the next line. */
export function printTable(terminal: Terminal, head: readonly string[], rows: readonly (readonly string[])[]): void {
  const [titles = '', ...lines] = alignColumns(wrapCells([head, ...rows].map(spelled), terminal.width));
  terminal.print(terminal.style('bold', titles));
  for (const line of lines) terminal.print(line);
}

/** Before cells are measured, since what is spelled out is wider. */
function spelled(cells: readonly string[]): readonly string[] {
  return cells.map((cell) => spellUnseen(cell));
}

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
  return text.split(' ').reduce((longest, word) => (columnsOf(word) > columnsOf(longest) ? word : longest), '');
}

/** Lines of at most `width` columns, broken at spaces where there are some. */
function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let rest = text;
  while (columnsOf(rest) > width) {
    const fits = beginning(rest, width).length;
    const space = rest.lastIndexOf(' ', fits);
    const end = space > 0 ? space : fits;
    lines.push(rest.slice(0, end));
    rest = rest.slice(end).trimStart();
  }
  return [...lines, rest];
}

/** As much of the beginning as `width` columns hold, and one letter at least; no letter is torn apart. */
export function beginning(text: string, width: number): string {
  let taken = '';
  for (const { segment } of letters.segment(text)) {
    if (taken !== '' && columnsOf(taken + segment) > width) break;
    taken += segment;
  }
  return taken;
}

const letters = new Intl.Segmenter();

/** Columns that a text takes on a terminal: two for a letter of Chinese, none for an accent of its own. */
export function columnsOf(text: string): number {
  return plain.test(text) ? text.length : stringWidth(text);
}

const plain = /^[ -~]*$/;

function columnWidths(rows: readonly (readonly string[])[]): number[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, columnsOf(cell));
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
      .map((cell, index) => cell + ' '.repeat(Math.max(0, (widths[index] ?? 0) - columnsOf(cell))))
      .join(' '.repeat(gap))
      .trimEnd(),
  );
}
