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

  /**
   * One line. What comes from a file, a service or a record must not be able to move the cursor, to colour, to turn the
   * order of letters round, or to pass for a line of its own: an unseen character of it is spelled out, a line feed too.
   */
  print(text = ''): void {
    this.stdout.write(`${this.visible(text)}\n`);
  }

  /** Several lines that the command made itself, such as a script or a document. */
  printLines(text: string): void {
    for (const line of text.split('\n')) this.print(line);
  }

  /** JSON in which a terminal finds no unseen character either; `\u009b` means the same to the program that reads it. */
  printJson(value: unknown, indent = 2): void {
    this.stdout.write(`${spellUnseen(JSON.stringify(value, null, indent), '\n')}\n`);
  }

  /** On standard error, in as many lines as the text has. */
  remark(text: string): void {
    for (const line of text.split('\n')) this.stderr.write(`${this.visible(line)}\n`);
  }

  /** A line that the next one takes the place of, and that is gone at the end: for long work, and only for people. */
  progress(text: string): void {
    if (!this.showsProgress) return;
    // Text on the next line would not be erased.
    const line = spellUnseen(text).slice(0, Math.max(narrowest, this.stderr.columns || 80) - 1);
    this.stderr.write(`\r\u001b[K${line}`);
  }

  /** Runs long work; on a terminal it shows what is done, and for how many seconds. */
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

  private visible(text: string): string {
    return spellUnseen(text).replace(marked, '\u001b[$1m');
  }
}

/** Marks a style until the text is written, so that escape sequences in input are never taken for styles. */
const mark = randomBytes(8).toString('hex');
const marked = new RegExp(`\\{${mark}:(\\d+)\\}`, 'g');

const narrowest = 40;
