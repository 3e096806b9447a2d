/** The rules of one definition, as columns of numbers: a million of them without a million objects. */

import type { ColumnsDefinition } from '../casbin/casbin-model.js';
import type { RuleLine } from '../casbin/rules-document.js';
import type { RuleColumns } from '../matcher/scope.js';
import { type RuleEffect, ruleEffectOf } from './effect.js';
import type { SymbolTable } from './symbols.js';

/** A rule as messages and answers name it. */
export interface Rule {
  /** Position in the order of evaluation. */
  readonly index: number;
  readonly ptype: string;
  readonly fields: readonly string[];
  readonly effect: RuleEffect;
  readonly file: string;
  /** 1-based. */
  readonly line: number;
  /** Columns of the answer, such as `reason`; undefined if the definition has none. */
  readonly answerColumns: AnswerColumns | undefined;
}

export interface AnswerColumns {
  readonly reason: number | undefined;
  readonly obligations: number | undefined;
  readonly advice: number | undefined;
}

/**
 * The value in a column that the rule does not have, since it is shorter than others of its definition (grouping rules
 * may be).
 */
const absent = -1;
const effects: readonly RuleEffect[] = ['indeterminate', 'allow', 'deny'];

export class RuleStore implements RuleColumns, Iterable<Rule> {
  /**
   * The same numbers rule by rule, each with its effect in front. A decision reads one rule's numbers, which lie
   * together here.
   */
  private readonly rows: Int32Array;
  private readonly rowWidth: number;

  constructor(
    readonly ptype: string,
    readonly length: number,
    readonly symbols: SymbolTable,
    /** Symbols, by column and then by rule. */
    readonly columns: readonly Int32Array[],
    private readonly effectCodes: Uint8Array,
    private readonly lines: Int32Array,
    private readonly fileNumbers: Uint16Array,
    private readonly files: readonly string[],
    readonly answerColumns: AnswerColumns | undefined,
  ) {
    this.rowWidth = columns.length + 1;
    this.rows = new Int32Array(length * this.rowWidth);
    this.fillRows(0, effectCodes);
    for (const [column, symbols] of columns.entries()) this.fillRows(column + 1, symbols);
  }

  private fillRows(at: number, numbers: ArrayLike<number>): void {
    const { rows, rowWidth, length } = this;
    for (let rule = 0; rule < length; rule++) rows[rule * rowWidth + at] = numbers[rule] as number;
  }

  symbol(column: number, rule: number): number {
    return this.rows[rule * this.rowWidth + 1 + column] as number;
  }

  text(column: number, rule: number): string {
    return this.symbols.text(this.symbol(column, rule));
  }

  effect(rule: number): RuleEffect {
    return effects[this.rows[rule * this.rowWidth] as number] as RuleEffect;
  }

  fields(rule: number): readonly string[] {
    const fields: string[] = [];
    for (let column = 0; column < this.columns.length; column++) {
      const symbol = this.symbol(column, rule);
      if (symbol === absent) break;
      fields.push(this.symbols.text(symbol));
    }
    return fields;
  }

  file(rule: number): string {
    return this.files[this.fileNumbers[rule] as number] as string;
  }

  /** 1-based. */
  line(rule: number): number {
    return this.lines[rule] as number;
  }

  at(rule: number): Rule {
    return new StoredRule(this, rule);
  }

  *[Symbol.iterator](): Generator<Rule> {
    for (let rule = 0; rule < this.length; rule++) yield this.at(rule);
  }

  /** The same rules in another order: `order[0]` is the rule that comes first. */
  reordered(order: readonly number[]): RuleStore {
    const pick = <Numbers extends Int32Array | Uint8Array | Uint16Array>(from: Numbers): Numbers => {
      const to = from.slice() as Numbers;
      for (let index = 0; index < order.length; index++) to[index] = from[order[index] as number] as number;
      return to;
    };
    return new RuleStore(
      this.ptype,
      this.length,
      this.symbols,
      this.columns.map(pick),
      pick(this.effectCodes),
      pick(this.lines),
      pick(this.fileNumbers),
      this.files,
      this.answerColumns,
    );
  }
}

/** Reads texts of a rule when they are asked for: most answers need few of them, and each lies elsewhere in memory. */
class StoredRule implements Rule {
  private texts: readonly string[] | undefined;

  constructor(
    private readonly store: RuleStore,
    readonly index: number,
  ) {}

  get ptype(): string {
    return this.store.ptype;
  }

  get fields(): readonly string[] {
    this.texts ??= this.store.fields(this.index);
    return this.texts;
  }

  get effect(): RuleEffect {
    return this.store.effect(this.index);
  }

  get file(): string {
    return this.store.file(this.index);
  }

  get line(): number {
    return this.store.line(this.index);
  }

  get answerColumns(): AnswerColumns | undefined {
    return this.store.answerColumns;
  }
}

function answerColumnsOf({ key, columns }: ColumnsDefinition): AnswerColumns | undefined {
  const [reason, obligations, advice] = ['reason', 'obligations', 'advice'].map((name) =>
    columns.get(`${key}_${name}`),
  );
  if (reason === undefined && obligations === undefined && advice === undefined) return undefined;
  return { reason, obligations, advice };
}

/** Takes rules as they are read and makes a store of them. It also finds repeated rules. */
export class RuleStoreBuilder {
  private columns: Int32Array[] = [];
  private effectCodes = new Uint8Array(0);
  private lines = new Int32Array(0);
  private fileNumbers = new Uint16Array(0);
  private slots = new Int32Array(0);
  private readonly files: string[] = [];
  private length = 0;
  private readonly effectColumn: number | undefined;
  /** Rules whose joined text another rule might have, by that text. */
  private readonly unusual = new Map<string, number>();

  constructor(
    private readonly ptype: string,
    private readonly width: number,
    private readonly symbols: SymbolTable,
    private readonly definition: ColumnsDefinition | undefined,
  ) {
    this.effectColumn = definition?.columns.get(`${ptype}_eft`);
  }

  /**
   * Adds a rule, unless the reference would drop it as a repeat: it compares fields joined by commas.
   *
   * @returns the index of the rule that it repeats, or undefined when it was added.
   */
  add({ fields, file, line }: RuleLine): number | undefined {
    const numbers = fields.map((field) => this.symbols.intern(field));
    const repeated = this.findRepeated(fields, numbers);
    if (repeated !== undefined) return repeated;
    this.makeRoom(numbers.length);
    for (let column = 0; column < this.columns.length; column++) {
      (this.columns[column] as Int32Array)[this.length] = numbers[column] ?? absent;
    }
    this.effectCodes[this.length] = effects.indexOf(ruleEffectOf(fields, this.effectColumn));
    this.lines[this.length] = line;
    this.fileNumbers[this.length] = this.fileNumber(file);
    this.length++;
    return undefined;
  }

  /** The rules added so far, in their order. */
  build(): RuleStore {
    return new RuleStore(
      this.ptype,
      this.length,
      this.symbols,
      this.columns.map((column) => column.slice(0, this.length)),
      this.effectCodes.slice(0, this.length),
      this.lines.slice(0, this.length),
      this.fileNumbers.slice(0, this.length),
      this.files,
      this.definition === undefined ? undefined : answerColumnsOf(this.definition),
    );
  }

  fieldsAt(rule: number): readonly string[] {
    return this.columns.flatMap((column) => {
      const symbol = column[rule] as number;
      return symbol === absent ? [] : [this.symbols.text(symbol)];
    });
  }

  placeAt(rule: number): string {
    return `${this.files[this.fileNumbers[rule] as number]}:${this.lines[rule]}`;
  }

  /**
   * Only rules with a comma in a field, or with more fields than others, can be joined to the text of another rule:
   * all others repeat a rule exactly or not at all, and are found by their numbers.
   */
  private findRepeated(fields: readonly string[], numbers: readonly number[]): number | undefined {
    if (fields.length !== this.width || fields.some((field) => field.includes(','))) {
      const joined = fields.join(',');
      const repeated = this.unusual.get(joined);
      if (repeated === undefined) this.unusual.set(joined, this.length);
      return repeated;
    }
    if (this.slots.length < 2 * (this.length + 1)) this.growSlots();
    const mask = this.slots.length - 1;
    for (let slot = hashNumbers(numbers) & mask; ; slot = (slot + 1) & mask) {
      const rule = (this.slots[slot] as number) - 1;
      if (rule < 0) {
        this.slots[slot] = this.length + 1;
        return undefined;
      }
      if (numbers.every((symbol, column) => this.columns[column]?.[rule] === symbol)) return rule;
    }
  }

  private growSlots(): void {
    const slots = new Int32Array(Math.max(1024, this.slots.length * 2));
    const mask = slots.length - 1;
    const numbers: number[] = [];
    for (const entry of this.slots) {
      if (entry === 0) continue;
      for (let column = 0; column < this.width; column++) numbers[column] = this.columns[column]?.[entry - 1] as number;
      let slot = hashNumbers(numbers) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = entry;
    }
    this.slots = slots;
  }

  private makeRoom(width: number): void {
    const capacity = this.effectCodes.length;
    if (this.length === capacity) {
      const larger = Math.max(256, capacity * 2);
      this.columns = this.columns.map((column) => extend(new Int32Array(larger), column));
      this.effectCodes = extend(new Uint8Array(larger), this.effectCodes);
      this.lines = extend(new Int32Array(larger), this.lines);
      this.fileNumbers = extend(new Uint16Array(larger), this.fileNumbers);
    }
    while (this.columns.length < Math.max(width, this.width)) {
      this.columns.push(new Int32Array(this.effectCodes.length).fill(absent));
    }
  }

  private fileNumber(file: string): number {
    const last = this.files.length - 1;
    if (this.files[last] === file) return last;
    const known = this.files.indexOf(file);
    return known < 0 ? this.files.push(file) - 1 : known;
  }
}

function extend<Numbers extends Int32Array | Uint8Array | Uint16Array>(larger: Numbers, from: Numbers): Numbers {
  larger.set(from);
  return larger;
}

/** Mixes the numbers of a rule, or of a key, into 32 bits. */
export function hashNumbers(numbers: ArrayLike<number>): number {
  let hash = 0x9e3779b9;
  for (let index = 0; index < numbers.length; index++) hash = mix(hash, numbers[index] as number);
  return finishHash(hash);
}

export function mix(hash: number, value: number): number {
  return Math.imul(hash ^ Math.imul(value, 0x85ebca6b), 0xc2b2ae35) ^ (hash >>> 15);
}

export function finishHash(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
