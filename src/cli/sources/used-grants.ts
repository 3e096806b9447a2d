/** Which grants of a set logged decisions used: its rules that allow, and its role links. */
import type { ExplainedRule } from '../../core/explanation.js';
import { isCombination } from '../../core/policy/combination.js';
import type { PolicySet } from '../../core/policy-set.js';
import { parseRfc3339 } from '../../core/rfc3339.js';
import type { DecisionRecord } from '../../decision-log/decision-record.js';
import { maskedValue } from '../../decision-log/mask.js';
import type { LoadedFolder } from './policy-folder.js';

/** A rule or a role link, and where it stands. */
export type Grant = Pick<ExplainedRule, 'rule' | 'file' | 'line'>;

/** What was looked at, and what was told of it. */
export interface UsageCounts {
  /** Decisions that allow. */
  decisions: number;
  /** Decided by a rule that the set has no longer. */
  elsewhere: number;
  /** Nobody can say by which rule. */
  erased: number;
  /** By which role the rule was reached is not known: values are masked, or the set decides otherwise now. */
  untold: number;
}

/** More different questions than any set is asked about its roles; beyond them links are not told. */
const mostQuestions = 1_000_000;

export class UsedGrants {
  readonly counts: UsageCounts = { decisions: 0, elsewhere: 0, erased: 0, untold: 0 };
  /** When the first of the decisions was made, in milliseconds since 1970. */
  oldest: number | undefined;
  private readonly rules = new Map<string, Grant[]>();
  private readonly links = new Map<string, Grant[]>();
  private readonly linkCount: number;
  private readonly usedRules = new Set<string>();
  private readonly usedLinks = new Set<Grant>();
  private readonly asked = new Set<string>();
  private readonly readsMore: boolean;

  /** @param engine undefined: the set runs on stock Casbin, which says nothing of roles */
  constructor(
    { compiled }: LoadedFolder,
    private readonly engine: PolicySet | undefined,
  ) {
    const { main, table } = compiled;
    if (isCombination(main) && main.effect !== 'deny_override') {
      for (let rule = 0; rule < main.rules.length; rule++) {
        if (main.rules.effect(rule) !== 'allow') continue;
        const { fields, file, line } = main.rules.at(rule);
        addTo(this.rules, keyOf([main.policy.key, ...fields]), { rule: [main.policy.key, ...fields], file, line });
      }
    }
    let linkCount = 0;
    for (const [definition, store] of table.groupings) {
      for (let link = 0; link < store.length; link++) {
        const [child = '', parent = '', ...rest] = store.fields(link);
        const grant = { rule: [definition, child, parent, ...rest], file: store.file(link), line: store.line(link) };
        addTo(this.links, keyOf([definition, child, parent]), grant);
        linkCount++;
      }
    }
    this.linkCount = linkCount;
    const { tokens = [] } = isCombination(main) ? main : {};
    // Who asks is told by more than its id: a line takes an attribute.
    this.readsMore = tokens.some(({ line }) => line !== undefined) || table.groupings.size > 1;
  }

  add(record: DecisionRecord): void {
    const { counts } = this;
    if (record.search !== undefined || record.decision !== 'allow') return;
    counts.decisions++;
    const time = Date.parse(record.time);
    this.oldest = Math.min(this.oldest ?? time, time);
    const { rule } = record.reason;
    if (rule === undefined) {
      // Allowed since no rule denies, or the rule was erased.
      if (record.erased !== undefined) counts.erased++;
      return;
    }
    const key = keyOf(rule);
    if (!this.rules.has(key)) {
      if (record.erased !== undefined) counts.erased++;
      else counts.elsewhere++;
      return;
    }
    this.usedRules.add(key);
    if (this.usedLinks.size < this.linkCount) this.addLinks(record, key);
  }

  private addLinks(record: DecisionRecord, rule: string): void {
    const { request, erased, masked, clock } = record;
    const { subject, attributes } = request;
    const asked = JSON.stringify([rule, this.readsMore ? request : [subject.type, subject.id, attributes]]);
    if (this.asked.has(asked)) return;
    const isWhole = erased === undefined && masked !== true && !asked.includes(`"${maskedValue}"`);
    if (this.engine === undefined || !isWhole || this.asked.size >= mostQuestions) {
      this.counts.untold++;
      return;
    }
    this.asked.add(asked);
    const { explanation } = this.engine.evaluate(request, {
      now: parseRfc3339(clock) ?? Date.parse(record.time),
      explain: 'full',
    });
    const matching = explanation?.matching.find((each) => keyOf(each.rule) === rule);
    if (matching === undefined) {
      this.counts.untold++;
      return;
    }
    for (const { definition, path } of matching.roles) {
      for (let at = 1; at < path.length; at++) this.useLink(definition, path[at - 1]!, path[at]!);
    }
  }

  /** Of all domains: a path does not say through which of them it goes where patterns stand for domains. */
  private useLink(definition: string, child: string, parent: string): void {
    for (const link of this.links.get(keyOf([definition, child, parent])) ?? []) this.usedLinks.add(link);
  }

  /** Rules that decided nothing, in the order of the files. */
  get unusedRules(): readonly Grant[] {
    return inOrder([...this.rules].flatMap(([key, grants]) => (this.usedRules.has(key) ? [] : grants)));
  }

  /** Links that no path of a deciding rule goes over. */
  get unusedLinks(): readonly Grant[] {
    return inOrder([...this.links.values()].flat().filter((link) => !this.usedLinks.has(link)));
  }

  get size(): { readonly rules: number; readonly links: number } {
    return { rules: [...this.rules.values()].flat().length, links: this.linkCount };
  }
}

function keyOf(fields: readonly string[]): string {
  return JSON.stringify(fields);
}

function addTo(grants: Map<string, Grant[]>, key: string, grant: Grant): void {
  const same = grants.get(key);
  if (same === undefined) grants.set(key, [grant]);
  else same.push(grant);
}

function inOrder(grants: readonly Grant[]): readonly Grant[] {
  return grants.toSorted((a, b) => (a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1));
}
