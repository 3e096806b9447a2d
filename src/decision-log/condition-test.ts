import type { DecisionFilters } from './decision-query.js';
import type { DecisionRecord } from './decision-record.js';
import { type ConditionOutcome, compileCondition, type RecordCondition } from './record-condition.js';
import { type RecordFilter, type SearchScope, withImplied } from './record-filter.js';
import { noVersions, type RecordedVersions } from './recorded-entities.js';

/** Parsing a record and looking at what it names takes about as long as reading the texts of this many. */
const costPerRecord = 4;

/** The condition of a query, asked of one record after the other. */
export class ConditionTest {
  private tested = 0;

  private constructor(
    private readonly condition: RecordCondition,
    private readonly versions: RecordedVersions,
  ) {}

  /**
   * Undefined for a query without a condition.
   *
   * @throws VerdictError `invalid_request` for a text that cannot be compiled
   */
  static of({ filter }: DecisionFilters, { versions = noVersions }: SearchScope): ConditionTest | undefined {
    return filter === undefined ? undefined : new ConditionTest(compileCondition(filter), versions);
  }

  /** A promise where the version that the record names must be loaded first. */
  outcome(record: DecisionRecord): ConditionOutcome | Promise<ConditionOutcome> {
    this.tested++;
    const entities = this.versions.entitiesFor(record);
    return entities instanceof Promise
      ? entities.then((loaded) => this.condition.outcome(record, loaded))
      : this.condition.outcome(record, entities);
  }

  /** What the tests cost since this was last asked, in records whose text is read. */
  takeCost(): number {
    const cost = this.tested * costPerRecord + this.condition.takeCost();
    this.tested = 0;
    return cost;
  }

  /** The filter with what the condition says of single fields, which are found by their index. */
  narrowed(filter: RecordFilter): RecordFilter {
    return withImplied(filter, this.condition.implied);
  }

  /** What tells the query from others, for its cursors. */
  static identity(filter: RecordFilter, test: ConditionTest | undefined): object {
    return test === undefined ? filter : { ...filter, filter: test.condition.text };
  }
}
