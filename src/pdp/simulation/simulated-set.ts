import { LiveData } from '../../core/data/live-data.js';
import type { EngineDecision } from '../../core/decision.js';
import { addDataInSteps } from '../../core/policy/change-data.js';
import { isCombination } from '../../core/policy/combination.js';
import { type CompiledPolicySet, compileInSteps } from '../../core/policy/compile.js';
import { readsClock } from '../../core/policy/reads-clock.js';
import { PolicySet } from '../../core/policy-set.js';
import type { DecisionRequest } from '../../core/request.js';
import { currentSemantics, isSemantics } from '../../core/semantics.js';
import { finish } from '../../core/steps.js';
import { sha256 } from '../../digest/sha-256.js';
import type { StoredEntries } from '../../policy-store/data/entries.js';
import { versionOf } from '../../policy-store/policy-set-files.js';
import { compileOptions } from '../../policy-store/policy-set-texts.js';
import type { SetContent } from './messages.js';

const noData = LiveData.empty(sha256);
const noEntries: StoredEntries = { roles: [], entities: [] };

/** A version that recorded questions are asked of, on Verdict's own engine and without tests. */
export class SimulatedSet {
  private constructor(
    private readonly compiled: CompiledPolicySet,
    private readonly set: PolicySet,
    /** Whether an answer may depend on the time of the decision. */
    readonly readsClock: boolean,
  ) {}

  /**
   * @param strict whether every problem that would keep it from being served stops it
   * @throws PolicyError for files that do not compile, DataError for live data that do not fit them
   */
  static of({ files, semantics = currentSemantics, data }: SetContent, strict = false): SimulatedSet {
    if (!isSemantics(semantics)) throw new Error(`semantics ${semantics} is not known`);
    const options = { ...compileOptions(files), strict, semantics };
    const compiled = finish(compileInSteps(options, () => versionOf(files), noData));
    const ofFiles = new SimulatedSet(compiled, new PolicySet(compiled), readsClock(compiled));
    return data === undefined ? ofFiles : ofFiles.with(data);
  }

  /** The same files with other live data; the set itself where its manifest lets it have none. */
  with(data: StoredEntries = noEntries): SimulatedSet {
    if (this.compiled.data === undefined) return this;
    const compiled = finish(addDataInSteps(this.compiled, data));
    return new SimulatedSet(compiled, new PolicySet(compiled), this.readsClock);
  }

  /** Whether its manifest lets it have live data. */
  get hasLiveData(): boolean {
    return this.compiled.data !== undefined;
  }

  /** Whether stock Casbin would answer in its place. */
  get isStock(): boolean {
    return this.compiled.manifest.engine === 'casbin';
  }

  /** Whether it can be evaluated at all. */
  get isWhole(): boolean {
    return isCombination(this.compiled.main);
  }

  /** JSON pointers to what its records do not have. */
  get dropped(): readonly string[] {
    return this.compiled.manifest.decisionLog.drop;
  }

  decide(request: DecisionRequest, now: number): EngineDecision {
    return this.set.evaluate(request, { now, explain: 'none' });
  }
}
