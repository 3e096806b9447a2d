/** Role links and entities in a file, each with its line. */
import { readFile } from 'node:fs/promises';
import { parseRuleLines } from '../../core/casbin/rules-document.js';
import { pointerToInexact } from '../../core/exact-json.js';
import { readEntity, type StoredEntity } from '../../core/manifest/entities.js';
import { readYamlInSteps } from '../../core/manifest/yaml-document.js';
import { isObject } from '../../core/matcher/values.js';
import { faultInName } from '../../core/names.js';
import type { PolicyProblem } from '../../core/problem.js';
import { quote } from '../../core/quote.js';
import { finish } from '../../core/steps.js';
import { VerdictError } from '../../errors.js';
import { parseStrictJson } from '../../http/strict-json.js';
import { textProblem } from '../../policy-store/text-problem.js';
import { UsageError } from '../exit-code.js';

/** An entry and the line that it begins at. */
export interface Lined<Value> {
  readonly line: number;
  readonly value: Value;
}

export type DataFile = (
  | { readonly kind: 'roles'; readonly entries: readonly Lined<readonly string[]>[] }
  | { readonly kind: 'entities'; readonly entries: readonly Lined<StoredEntity>[] }
) & {
  /** What is wrong with the file; entries with a problem are left out. */
  readonly problems: readonly PolicyProblem[];
};

type Report = (problem: PolicyProblem) => void;

/**
 * Reads role links (`.csv`, as the lines of a rules file) or entities (`.ndjson`, one a line; `.yaml`, `.yml` and `.json`,
 * a list as in `entities.yaml`).
 *
 * @throws UsageError where it cannot be read at all
 */
export async function readDataFile(path: string): Promise<DataFile> {
  const read = readers[/\.[a-z]+$/.exec(path)?.[0] ?? ''];
  if (read === undefined) {
    throw new UsageError(
      `${path} is no .csv, .ndjson, .yaml or .json`,
      'role links are the lines of a .csv; entities are lines of an .ndjson or a list in .yaml or .json',
    );
  }
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${path} cannot be read: ${error.code ?? error.message}`);
  });
  const fault = textProblem(path, bytes);
  const problems: PolicyProblem[] = fault === undefined ? [] : [fault];
  const report: Report = (problem) => problems.push(problem);
  return { ...read(fault === undefined ? bytes.toString() : '', path, report), problems };
}

type Entries =
  | { readonly kind: 'roles'; readonly entries: Lined<readonly string[]>[] }
  | { readonly kind: 'entities'; readonly entries: Lined<StoredEntity>[] };
type Read = (text: string, file: string, report: Report) => Entries;

const readers: Readonly<Record<string, Read>> = {
  '.csv': readRoleLines,
  '.ndjson': readEntityLines,
  '.yaml': readEntityList,
  '.yml': readEntityList,
  '.json': readEntityList,
};

function readRoleLines(text: string, file: string, report: Report): Entries {
  const entries: Lined<readonly string[]>[] = [];
  for (const { ptype, fields, line } of parseRuleLines(text, file, report)) {
    const fault = faultInLink(ptype, fields);
    if (fault === undefined) entries.push({ line, value: [ptype, ...fields] });
    else report({ severity: 'error', ...fault, file, line, column: 1 });
  }
  return { kind: 'roles', entries };
}

/** What is wrong with a link, whatever the model is; the service looks at the rest. */
export function faultInLink(
  ptype: string,
  fields: readonly string[],
): { readonly code: string; readonly message: string } | undefined {
  if (!/^g\d*$/.test(ptype)) {
    return { code: 'not_live_data', message: `a line of ${quote(ptype)} is no role link: g, user:ana, editor` };
  }
  if (fields.length !== 2 && fields.length !== 3) {
    const message = `a link of ${ptype} has a name, a role and perhaps a domain, not ${fields.length} fields`;
    return { code: 'wrong_field_count', message };
  }
  const fault = fields.map(faultInName).find((each) => each !== undefined);
  return fault === undefined ? undefined : { code: 'control_character', message: `a name holds ${fault}` };
}

function readEntityList(text: string, file: string, report: Report): Entries {
  const seen = new SeenEntities(file, report);
  // What is wrong with the text has been reported, and an empty one is an empty list.
  for (const item of finish(readYamlInSteps({ file, text }, report))?.items('the list of entities') ?? []) {
    const entity = readEntity(item);
    if (entity !== undefined) seen.add(item.place.line, entity);
  }
  return { kind: 'entities', entries: seen.entries };
}

function readEntityLines(text: string, file: string, report: Report): Entries {
  const seen = new SeenEntities(file, report);
  for (const [index, source] of text.split('\n').entries()) {
    if (source.trim() === '') continue;
    const line = index + 1;
    const read = entityOf(source);
    if (typeof read === 'string') {
      report({ severity: 'error', code: 'bad_entity', message: read, file, line, column: 1 });
    } else seen.add(line, read);
  }
  return { kind: 'entities', entries: seen.entries };
}

/** Each entity once. */
class SeenEntities {
  readonly entries: Lined<StoredEntity>[] = [];
  private readonly lines = new Map<string, number>();

  constructor(
    private readonly file: string,
    private readonly report: Report,
  ) {}

  add(line: number, value: StoredEntity): void {
    const key = JSON.stringify([value.type, value.id]);
    const before = this.lines.get(key);
    if (before === undefined) {
      this.lines.set(key, line);
      this.entries.push({ line, value });
      return;
    }
    const message = `the ${value.type} ${quote(value.id)} stands in line ${before} already`;
    this.report({ severity: 'error', code: 'duplicate_entity', message, file: this.file, line, column: 1 });
  }
}

/** Levels of an entity of JSON, those of its attributes included. */
const deepest = 100;

/** The entity that a line is, or what is wrong with it. */
function entityOf(source: string): StoredEntity | string {
  let value: unknown;
  try {
    value = parseStrictJson(Buffer.from(source), { depth: deepest, values: Number.POSITIVE_INFINITY });
  } catch (error) {
    if (!(error instanceof VerdictError)) throw error;
    const { pointer, detail } = error.extra.errors?.[0] ?? { pointer: '', detail: error.detail };
    return pointer === '' ? detail : `${pointer}: ${detail}`;
  }
  if (!isObject(value as never)) return 'a line must be an object such as {"type": "user", "id": "ana"}';
  const { type, id, attributes = {}, ...others } = value as Record<string, unknown>;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) return `an entity has type, id and attributes, and no ${quote(unknown)}`;
  if (typeof type !== 'string') return 'the type must be a text';
  if (typeof id !== 'string') return 'the id must be a text';
  const fault = faultInName(type) ?? faultInName(id);
  if (fault !== undefined) return `type or id holds ${fault}`;
  if (!isObject(attributes as never)) return 'the attributes must be an object';
  const pointer = pointerToInexact(attributes as never);
  if (pointer !== undefined) return `/attributes${pointer}: no double holds the number exactly`;
  return { type, id, attributes: attributes as StoredEntity['attributes'] };
}
