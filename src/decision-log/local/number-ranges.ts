/**
 * A set of positive integers, most of which follow on each other. As text its ranges: `54-60,63`.
 *
 *     NumberRanges.of([54, 55, 56, 63]).toString()   // '54-56,63'
 */
export class NumberRanges {
  static readonly none = new NumberRanges([]);

  private constructor(private readonly ranges: readonly (readonly [from: number, to: number])[]) {}

  static of(numbers: Iterable<number>): NumberRanges {
    const ranges: [number, number][] = [];
    for (const number of [...numbers].sort((a, b) => a - b)) {
      const last = ranges.at(-1);
      if (last === undefined || number > last[1] + 1) ranges.push([number, number]);
      else last[1] = number;
    }
    return new NumberRanges(ranges);
  }

  /** @param text as `toString` gives it */
  static read(text: string): NumberRanges {
    if (text === '') return NumberRanges.none;
    return new NumberRanges(
      text.split(',').map((range) => {
        const [from, to = from] = range.split('-').map(Number) as [number, number?];
        return [from, to] as const;
      }),
    );
  }

  has(number: number): boolean {
    return this.ranges.some(([from, to]) => number >= from && number <= to);
  }

  /** The set with others; what lies below `next`, or follows on it without a gap, is left out, and `next` raised. */
  joined(others: Iterable<number>, next: number): { readonly next: number; readonly ranges: NumberRanges } {
    const all = new Set(others);
    for (const [from, to] of this.ranges) for (let number = from; number <= to; number++) all.add(number);
    let raised = next;
    while (all.has(raised)) raised++;
    return { next: raised, ranges: NumberRanges.of([...all].filter((number) => number > raised)) };
  }

  toString(): string {
    return this.ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(',');
  }
}
