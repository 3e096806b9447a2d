/** Policy tests from logged decisions: of all that were decided alike, one. */
import { isDeepStrictEqual } from 'node:util';
import { judge, readPolicyTests } from '../../core/analysis/policy-tests.js';
import { defaultTestTime } from '../../core/analysis/test-document.js';
import type { EngineDecision } from '../../core/decision.js';
import { spellUnseen } from '../../core/quote.js';
import type { DecisionRequest, Entity, Json, JsonObject } from '../../core/request.js';
import { parseRfc3339 } from '../../core/rfc3339.js';
import type { DecisionRecord } from '../../decision-log/decision-record.js';
import { maskedValue } from '../../decision-log/mask.js';
import type { LoadedFolder } from './policy-folder.js';
import type { ServedEngine } from './served-engine.js';

/** How many decisions were looked at, and why some became no test. */
export interface LoggedCounts {
  decisions: number;
  /** Decided as one that is a test already. */
  alike: number;
  /** Searches: each is about many decisions. */
  searches: number;
  masked: number;
  erased: number;
  /** The folder decides otherwise than the version of that time did. */
  otherwise: number;
  /** A test cannot say it: such as a control character in a name, which requests had in earlier releases. */
  unsayable: number;
}

interface LoggedTest {
  readonly text: string;
  /** The rule that decided, as a line; undefined where none did. */
  readonly rule: string | undefined;
  /** What decided: the rule, or the reason. */
  readonly by: string;
}

/** More shapes than any set has; beyond them the log holds attributes with names of its own for each request. */
const mostShapes = 100_000;

export class LoggedTests {
  readonly counts: LoggedCounts = {
    decisions: 0,
    alike: 0,
    searches: 0,
    masked: 0,
    erased: 0,
    otherwise: 0,
    unsayable: 0,
  };
  private readonly tests = new Map<string, LoggedTest>();
  /** Rules that decided what became no test. */
  private readonly rules = new Set<string>();

  constructor(
    private readonly set: LoadedFolder,
    private readonly engine: ServedEngine,
  ) {}

  async add(record: DecisionRecord): Promise<void> {
    const { counts } = this;
    counts.decisions++;
    const { request, erased, masked, search } = record;
    const rule = ruleOf(record);
    if (rule !== undefined) this.rules.add(rule);
    if (search !== undefined) counts.searches++;
    else if (erased !== undefined) counts.erased++;
    // Records of earlier releases do not say that they are masked.
    else if (masked === true || JSON.stringify(request).includes(`"${maskedValue}"`)) counts.masked++;
    else {
      const key = keyOf(record);
      if (this.tests.has(key)) counts.alike++;
      else if (this.tests.size < mostShapes) await this.addTest(key, record);
    }
  }

  private async addTest(key: string, record: DecisionRecord): Promise<void> {
    const { request, reason, decision } = record;
    const rule = ruleOf(record);
    const clock = await this.clockOf(record);
    if (clock === undefined) {
      this.counts.otherwise++;
      return;
    }
    const text = testOf(record, clock === defaultTestTime ? undefined : clock);
    if (!this.isReadAs(text, request, record)) this.counts.unsayable++;
    else this.tests.set(key, { text, rule, by: rule ?? `${decision} ${reason.code}` });
  }

  /** The default clock of tests, if the folder decides so at any time; that of the record; undefined if it decides otherwise. */
  private async clockOf(record: DecisionRecord): Promise<string | undefined> {
    for (const clock of [defaultTestTime, record.clock]) {
      const now = parseRfc3339(clock);
      if (now !== undefined && isSame(record, await this.engine.decide(record.request, now))) return clock;
    }
    return undefined;
  }

  /** Whether a test file with this text asks the same and wants what the record says. */
  private isReadAs(text: string, request: DecisionRequest, { decision }: DecisionRecord): boolean {
    const file = { file: 'tests/logged.yaml', text: `tests:\n${text}` };
    const { tests, problems } = readPolicyTests([file], this.set.compiled.entities);
    const [test] = tests;
    return (
      problems.length === 0 &&
      tests.length === 1 &&
      isDeepStrictEqual(test?.request, request) &&
      test?.expected.decision === decision
    );
  }

  /** The tests as a file; of each rule, then of each other reason, one comes before a second of any. */
  document(most: number): {
    readonly text: string;
    readonly tests: number;
    readonly left: number;
    readonly rules: number;
    /** Rules that decided, and that none of these tests is decided by. */
    readonly uncovered: readonly string[];
  } {
    const seen = new Map<string, number>();
    const ranked = [...this.tests.values()].map((test) => {
      const rank = seen.get(test.by) ?? 0;
      seen.set(test.by, rank + 1);
      return { test, rank };
    });
    const isOther = ({ test }: (typeof ranked)[number]) => Number(test.rule === undefined);
    const chosen = ranked.sort((a, b) => a.rank - b.rank || isOther(a) - isOther(b)).slice(0, most);
    // By what decided, for a reader.
    const texts = chosen
      .map(({ test }) => test)
      .sort((a, b) => (a.by === b.by ? 0 : a.by < b.by ? -1 : 1))
      .map(({ text }) => text);
    const head =
      '# Written by `verdict test generate`: what was decided, one of each rule, effect and shape of request.\n' +
      'description: Logged decisions.\n\ntests:\n';
    const rules = new Set(chosen.flatMap(({ test }) => test.rule ?? []));
    const uncovered = [...this.rules].filter((rule) => !rules.has(rule)).sort();
    return {
      text: head + texts.join('\n'),
      tests: texts.length,
      left: ranked.length - texts.length,
      rules: rules.size,
      uncovered,
    };
  }
}

/** The line of the rule that decided. One that failed has not decided: its error did. */
function ruleOf({ reason: { code, rule } }: DecisionRecord): string | undefined {
  return code === 'rule_allowed' || code === 'rule_denied' ? rule?.join(', ') : undefined;
}

/** What two decisions have in common that are decided alike: the answer, what decided, and the shape of the request. */
function keyOf({
  request: { subject, action, resource, attributes, tokens = {} },
  decision,
  reason,
}: DecisionRecord): string {
  const shape = (entity: Entity): Json => [entity.type ?? null, namesOf(entity.attributes)];
  const claims = Object.entries(tokens).map(([name, each]) => [name, namesOf(each)]);
  const asked = [shape(subject), action.name, namesOf(action.attributes), shape(resource), namesOf(attributes), claims];
  return JSON.stringify([decision, reason.code, reason.rule ?? null, ...asked]);
}

function namesOf(attributes: JsonObject | undefined): string[] {
  return Object.keys(attributes ?? {}).sort();
}

function isSame(record: DecisionRecord, decided: EngineDecision): boolean {
  const codes = (errors: EngineDecision['errors']): readonly string[] => errors.map(({ code }) => code);
  return (
    record.decision === decided.decision &&
    record.reason.code === decided.reason.code &&
    isDeepStrictEqual(record.reason.rule, decided.reason.rule) &&
    isDeepStrictEqual(record.reason.message, decided.reason.message) &&
    isDeepStrictEqual(record.obligations, decided.obligations) &&
    isDeepStrictEqual(codes(record.errors), codes(decided.errors))
  );
}

/** A test with all that the record says of the answer, so that another answer fails. */
function testOf(
  { id, request, decision, reason, obligations, errors }: DecisionRecord,
  at: string | undefined,
): string {
  const { subject, action, resource, attributes, tokens } = request;
  const lines = [
    `  # ${spellUnseen(reason.rule?.join(', ') ?? reason.code)} (decision ${id})`,
    `  - name: ${scalar(`${subject.id} ${action.name} ${resource.id}`)}`,
    `    subject: ${entity(subject)}`,
    `    action: ${action.attributes === undefined ? flow(action.name) : flow({ name: action.name, attributes: action.attributes })}`,
    `    resource: ${entity(resource)}`,
  ];
  if (attributes !== undefined) lines.push(`    attributes: ${flow(attributes)}`);
  // Sound: claims by token are JSON.
  if (tokens !== undefined) lines.push(`    tokens: ${flow(tokens as JsonObject)}`);
  if (at !== undefined) lines.push(`    at: ${scalar(at)}`);
  const expected: JsonObject = { decision, reason: reason.code };
  if (reason.message !== undefined) expected.message = reason.message;
  if (obligations.length > 0) expected.obligations = [...obligations];
  if (errors.length > 0) expected.errors = errors.map(({ code }) => code);
  lines.push(`    expect: ${flow(expected)}`, '');
  return lines.join('\n');
}

function entity({ type, id, attributes }: Entity): string {
  return flow({ ...(type !== undefined && { type }), id, ...(attributes !== undefined && { attributes }) });
}

/** YAML in flow style, in which everything that is not plainly a word stands in double quotes, as in JSON. */
function flow(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`;
  if (value !== null && typeof value === 'object') {
    const members = Object.entries(value).map(([name, member]) => `${scalar(name)}: ${flow(member)}`);
    return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`;
  }
  return typeof value === 'string' ? scalar(value) : JSON.stringify(value);
}

function scalar(text: string): string {
  const isWord = /^[A-Za-z_][\w-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text);
  return isWord ? text : spellUnseen(JSON.stringify(text));
}

/** Whether the engine passes a file of tests: what was written is true at once. */
export async function passes(set: LoadedFolder, engine: ServedEngine, text: string): Promise<boolean> {
  const { tests, problems } = readPolicyTests([{ file: 'tests/logged.yaml', text }], set.compiled.entities);
  if (problems.length > 0) return false;
  for (const test of tests) {
    if (judge(test, await engine.decide(test.request, test.now)).failures.length > 0) return false;
  }
  return true;
}
