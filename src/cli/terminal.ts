/** Where a command writes: results to stdout, remarks to stderr, colours only where a person looks. */
import { styleText } from 'node:util';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

export interface TerminalStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export class Terminal {
  readonly width: number;
  /** Whether a person reads what is printed, and not a file or another program. */
  readonly isTTY: boolean;
  private readonly coloured: boolean;

  constructor(
    private readonly stdout: TerminalStream,
    private readonly stderr: TerminalStream,
    readonly env: Readonly<Record<string, string | undefined>>,
  ) {
    // https://no-color.org: any value but the empty one.
    const refused = (env.NO_COLOR ?? '') !== '' || env.TERM === 'dumb';
    this.isTTY = stdout.isTTY === true;
    this.coloured = this.isTTY && !refused;
    this.width = Math.max(40, stdout.columns ?? (Number.parseInt(env.COLUMNS ?? '', 10) || 100));
  }

  print(text = ''): void {
    this.stdout.write(`${text}\n`);
  }

  remark(text: string): void {
    this.stderr.write(`${text}\n`);
  }

  /** A line that the next one takes the place of, and that is gone at the end: for long work, and only for people. */
  progress(text: string): void {
    if (this.stderr.isTTY === true) this.stderr.write(`\r\u001b[K${text}`);
  }

  style(style: Style, text: string): string {
    return this.coloured ? styleText(style, text, { validateStream: false }) : text;
  }
}

/**
 * Columns as wide as their widest cell, two spaces apart; the last one is not padded.
 *
 *     alignColumns([['a', 'bcd'], ['ef', 'g']])   // ['a   bcd', 'ef  g']
 */
export function alignColumns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cell.length);
  }
  return rows.map((row) =>
    row
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
