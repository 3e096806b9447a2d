import type { Metric, Registry } from 'prom-client';

/** Number of values up to each bound, and their sum. */
class Cell {
  readonly counts: number[];
  sum = 0;

  constructor(private readonly bounds: readonly number[]) {
    this.counts = new Array(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    let index = 0;
    while (index < this.bounds.length && value > this.bounds[index]!) index++;
    this.counts[index]!++;
    this.sum += value;
  }
}

export type Observer = Pick<Cell, 'observe'>;

/**
 * A histogram for values that are observed at every request. prom-client's own hashes the labels at each call, which
 * takes longer than a decision; here a caller keeps the observer of its labels, and a value costs a few comparisons and
 * additions.
 *
 *     const durations = new Distribution(registry, { name, help, label: 'route', bounds: [0.01, 0.1, 1] });
 *     const observer = durations.of('/v1/decide');   // once
 *     observer.observe(0.002);                       // each time
 */
export class Distribution {
  readonly type = 'histogram';
  readonly aggregator = 'sum';
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  private readonly label: string;
  private readonly bounds: readonly number[];
  private readonly cells = new Map<string, Cell>();

  constructor(
    registry: Registry,
    {
      name,
      help,
      label,
      bounds,
    }: { readonly name: string; readonly help: string; readonly label: string; readonly bounds: readonly number[] },
  ) {
    this.name = name;
    this.help = help;
    this.labelNames = [label];
    this.label = label;
    this.bounds = bounds;
    // The registry asks a metric for its name and, at a scrape, for `get`; its type names the package's own classes only.
    registry.registerMetric(this as unknown as Metric<string>);
  }

  of(value: string): Observer {
    let cell = this.cells.get(value);
    if (cell === undefined) {
      cell = new Cell(this.bounds);
      this.cells.set(value, cell);
    }
    return cell;
  }

  /** Removes a label value. Observers obtained earlier keep counting but are no longer exported. */
  remove(value: string): void {
    this.cells.delete(value);
  }

  /** What prom-client's registry reads at a scrape. */
  async get(): Promise<object> {
    const used = [...this.cells].filter(([, { counts }]) => counts.some((count) => count > 0));
    const values = used.flatMap(([value, cell]) => this.valuesOf({ [this.label]: value }, cell));
    return { name: this.name, help: this.help, type: this.type, aggregator: this.aggregator, values };
  }

  reset(): void {
    this.cells.clear();
  }

  private valuesOf(labels: Readonly<Record<string, string>>, { counts, sum }: Cell): object[] {
    let count = 0;
    const buckets = counts.map((own, index) => {
      count += own;
      return {
        metricName: `${this.name}_bucket`,
        labels: { ...labels, le: this.bounds[index] ?? '+Inf' },
        value: count,
      };
    });
    return [
      ...buckets,
      { metricName: `${this.name}_sum`, labels, value: sum },
      { metricName: `${this.name}_count`, labels, value: count },
    ];
  }
}
