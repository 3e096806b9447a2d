/** From role definitions and grouping rules to graphs: matching functions, conditions on links, cycles. */

import type { CasbinModel, ColumnsDefinition, RoleDefinition } from '../casbin/casbin-model.js';
import type { ReportProblem } from '../casbin/document-problem.js';
import type { Manifest, RoleMatchingNames } from '../manifest/manifest.js';
import { timeWindow } from '../matcher/functions/time-match.js';
import { quote, quoteList } from '../quote.js';
import type { RuleStore } from '../rules/rule-store.js';
import { itemsPerStep } from '../steps.js';
import { findMatching, type RoleFunctions } from './name-matching.js';
import { findCycle } from './role-cycles.js';
import { RoleGraph, type RoleLink } from './roles.js';

/** A condition function on one link, as with Casbin's AddNamedLinkConditionFunc. */
export interface LinkCondition {
  readonly ptype: string;
  readonly user: string;
  readonly role: string;
  readonly domain?: string;
  /** `timeMatch`, or a function of the embedding program, called with the link's further columns. */
  readonly fn: string;
}

export function* buildRoleGraphs(
  model: CasbinModel,
  groupings: ReadonlyMap<string, RuleStore>,
  matching: ReadonlyMap<string, RoleMatchingNames>,
  conditions: readonly LinkCondition[],
  functions: RoleFunctions,
  placeOf: Manifest['placeOf'],
  report: ReportProblem,
): Generator<void, ReadonlyMap<string, RoleGraph>> {
  const graphs = new Map<string, RoleGraph>();
  for (const [key, definition] of model.roles) {
    if (definition.width < 2) refuseNarrow(definition, model, report);
    const rules = groupings.get(key) as RuleStore;
    yield* reportCycles(definition, rules, report);
    const names = matching.get(key) ?? {};
    const refuse = (message: string, hint: string): void => {
      const place = placeOf('roleMatching', key);
      report({ severity: 'error', code: 'unknown_function', message, ...place, hint, refusedByReference: true });
    };
    // Casbin registers no function for the names of a conditional definition, only for its domains.
    const nameFunction = definition.conditionColumns > 0 ? undefined : names.names;
    const graph = new RoleGraph([], {
      hasDomain: definition.hasDomain,
      ...optional('nameMatching', findMatching(nameFunction, key, functions, refuse)),
      ...optional('domainMatching', findMatching(domainFunction(names, definition, model), key, functions, refuse)),
    });
    for (let rule = 0, done = 0; rule < rules.length; rule++) {
      if (done >= itemsPerStep) {
        yield;
        done = 0;
      }
      done += graph.add(readLink(rules, rule, definition, conditions, functions)) ? itemsPerPattern : 1;
    }
    graphs.set(key, graph);
  }
  return graphs;
}

/** A prepared pattern counts as this number of links between two pauses. */
const itemsPerPattern = 1_000;

function optional<Key extends string, Value>(key: Key, value: Value | undefined): { [K in Key]?: Value } {
  return value === undefined ? {} : ({ [key]: value } as { [K in Key]?: Value });
}

function refuseNarrow(definition: RoleDefinition, model: CasbinModel, report: ReportProblem): void {
  report({
    severity: 'error',
    code: 'role_arity',
    message: `${definition.key} = ${definition.definition.value} must have two columns at least, "_, _"`,
    file: model.file,
    ...definition.definition.place(0),
    refusedByReference: true,
  });
}

/**
 * Casbin in Go registers keyMatch for domains if the matcher has `keyMatch(r.dom, p.dom)`, with the second columns of r
 * and p under any name, and exactly one space (`registerDomainMatchingFunc`).
 */
function domainFunction(names: RoleMatchingNames, definition: RoleDefinition, model: CasbinModel): string | undefined {
  if (names.domains !== undefined || !definition.hasDomain) return names.domains;
  const second = (columns: ColumnsDefinition | undefined): string | undefined => columns?.tokens[1];
  const asked = second(model.requests.get('r'));
  const stored = second(model.policies.get('p'));
  if (asked === undefined || stored === undefined) return undefined;
  const matcher = model.matchers.get('m')?.value ?? '';
  const spelling = new RegExp(`keyMatch\\(r[._]${escapeRegExp(asked)}, p[._]${escapeRegExp(stored)}\\)`);
  return spelling.test(matcher) ? 'keyMatch' : undefined;
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

function readLink(
  rules: RuleStore,
  rule: number,
  definition: RoleDefinition,
  conditions: readonly LinkCondition[],
  functions: RoleFunctions,
): RoleLink {
  const child = rules.text(0, rule);
  const parent = rules.text(1, rule);
  const domain = definition.hasDomain ? rules.text(2, rule) : '';
  const link = { child, parent, domain };
  if (definition.conditionColumns === 0) return link;
  const parameters = rules.fields(rule).slice(definition.leastColumns, definition.width);
  const own = conditions.filter(({ ptype }) => ptype === definition.key);
  // In the reference a link of a definition without a registered function always holds; here `timeMatch` is used.
  const registered = own.find(
    (condition) => condition.user === child && condition.role === parent && (condition.domain ?? domain) === domain,
  );
  const name = own.length === 0 ? 'timeMatch' : registered?.fn;
  if (name === undefined) return link;
  const holds = linkCondition(name, parameters, functions);
  // In domains the reference calls only the function of the first link (P6).
  const firstOnly = own.length > 0 && definition.hasDomain;
  return { ...link, holds: firstOnly ? (now, hop) => hop > 0 || holds(now) : holds };
}

/** An error of the condition counts as "no". */
function linkCondition(
  name: string,
  parameters: readonly string[],
  functions: RoleFunctions,
): (now: number) => boolean {
  const custom = functions.customFunctions.get(name);
  if (custom === undefined) {
    const [start, end] = parameters;
    const isTime = name === 'timeMatch' && parameters.length === 2 && start !== undefined && end !== undefined;
    return isTime ? timeWindow(start, end) : () => false;
  }
  return () => {
    try {
      return custom(...parameters) === true;
    } catch {
      return false;
    }
  };
}

/** Cycles stop the load where a definition has no domain, as in the reference; within a domain they are a warning. */
function* reportCycles(definition: RoleDefinition, rules: RuleStore, report: ReportProblem): Generator<void, void> {
  const byDomain = new Map<string, number[]>();
  for (let rule = 0; rule < rules.length; rule++) {
    if (rule % itemsPerStep === 0) yield;
    const domain = definition.hasDomain ? rules.text(2, rule) : '';
    const group = byDomain.get(domain);
    if (group === undefined) byDomain.set(domain, [rule]);
    else group.push(rule);
  }
  for (const [domain, group] of byDomain) {
    const links = group.map((rule) => ({ child: rules.text(0, rule), parent: rules.text(1, rule) }));
    const cycle = yield* findCycle(links);
    if (cycle === undefined) continue;
    const at = links.findIndex(({ child, parent }) => child === cycle[0] && parent === cycle[1]);
    const { file, line } = rules.at(group[at] ?? 0);
    report({
      severity: definition.hasDomain ? 'warning' : 'error',
      code: 'role_cycle',
      message: `the roles of ${definition.key} have a cycle${domain === '' ? '' : ` in domain ${quote(domain)}`}: ${quoteList(cycle, ' -> ')}`,
      file,
      line,
      column: 1,
      ...(!definition.hasDomain && { refusedByReference: true }),
    });
  }
}
