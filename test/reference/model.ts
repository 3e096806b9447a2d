/** The model file and the rules, read line by line as Casbin reads them. */

/** The model or its rules must not be loaded. */
export class LoadError extends Error {
  override readonly name = 'LoadError';
}

export interface RoleColumns {
  /** How many columns a link has, without those in brackets: 2, or 3 with a domain. */
  readonly columns: number;
  /** How many columns in brackets follow, the parameters of the link's condition. */
  readonly conditions: number;
}

export interface Model {
  /** `r` and `p` definitions by name, their columns written as matchers see them: `r_sub`, `p2_act`. */
  readonly requests: ReadonlyMap<string, readonly string[]>;
  readonly policies: ReadonlyMap<string, readonly string[]>;
  readonly roles: ReadonlyMap<string, RoleColumns>;
  readonly effects: ReadonlyMap<string, string>;
  readonly matchers: ReadonlyMap<string, string>;
  readonly constraints: ReadonlyMap<string, string>;
}

export interface Rules {
  readonly policies: ReadonlyMap<string, string[][]>;
  readonly links: ReadonlyMap<string, string[][]>;
}

const sections = {
  r: 'request_definition',
  p: 'policy_definition',
  g: 'role_definition',
  e: 'policy_effect',
  m: 'matchers',
  c: 'constraint_definition',
};

/** What Go calls white space; JavaScript's `trim` differs in U+0085 and U+FEFF. */
const space = '[\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const leadingSpace = new RegExp(`^${space}+`);
const outerSpace = new RegExp(`^${space}+|${space}+$`, 'g');
const trim = (text: string) => text.replace(outerSpace, '');

export function readModel(text: string): Model {
  const entries = readEntries(text);
  const definitions = (key: keyof typeof sections) => {
    const found = new Map<string, string>();
    const section = entries.get(sections[key]);
    for (let n = 1; ; n++) {
      const name = n === 1 ? key : `${key}${n}`;
      const value = section?.get(name);
      if (!value) return found;
      found.set(name, value);
    }
  };
  for (const key of ['r', 'p', 'e', 'm'] as const) {
    if (definitions(key).size === 0) throw new LoadError(`missing required section: ${sections[key]}`);
  }
  const constraints = mapValues(definitions('c'), withoutComment);
  const roles = mapValues(definitions('g'), roleColumns);
  if (constraints.size > 0 && !roles.has('g')) throw new LoadError('constraints need a role definition');
  for (const constraint of constraints.values()) parseConstraint(constraint);
  return {
    requests: mapValues(definitions('r'), columnNames),
    policies: mapValues(definitions('p'), columnNames),
    roles,
    effects: mapValues(definitions('e'), (value) => withoutComment(escapeColumns(value))),
    matchers: mapValues(definitions('m'), (value) => listBrackets(escapeColumns(value))),
    constraints,
  };
}

/** Section → key → value; the last of a repeated key stays. */
function readEntries(text: string): Map<string, Map<string, string>> {
  const entries = new Map<string, Map<string, string>>();
  let section = 'default';
  let pending = '';
  const flush = () => {
    if (pending === '') return;
    const equals = pending.indexOf('=');
    if (equals < 0) throw new LoadError(`no "=" in the line: ${pending}`);
    const values = entries.get(section) ?? new Map<string, string>();
    values.set(trim(pending.slice(0, equals)), trim(pending.slice(equals + 1)));
    entries.set(section, values);
    pending = '';
  };
  for (const raw of text.split('\n')) {
    const line = trim(raw);
    if (line === '' || line.startsWith('#') || line.startsWith(';')) {
      flush();
    } else if (line.startsWith('[') && line.endsWith(']')) {
      flush();
      section = line.slice(1, -1);
    } else {
      const continues = line.endsWith('\\');
      const part = continues ? `${trim(line.slice(0, -1))} ` : line;
      pending += part.split(/[#;]/)[0];
      if (!continues) flush();
    }
  }
  flush();
  return entries;
}

function columnNames(value: string, key: string): string[] {
  return value.split(',').map((column) => `${key}_${trim(column)}`);
}

function roleColumns(value: string): RoleColumns {
  const brackets = /\((.*?)\)/.exec(value)?.[1];
  const conditions = brackets === undefined || brackets === '' ? 0 : brackets.split(',').length;
  const underscores = value.split('_').length - 1;
  if (underscores < 2) throw new LoadError('a role definition needs at least two "_"');
  return { columns: value.split(',').length - conditions, conditions };
}

/** `r.sub` → `r_sub`, wherever Casbin's regular expression sees a definition's name, literals included. */
export function escapeColumns(text: string): string {
  return text.replace(/([()\t\n\f\r |&,=!><+\-*/]|^)([rp][0-9]*)\./g, '$1$2_');
}

/** In a model's matcher that has the letters `in` anywhere, square brackets are parentheses. */
function listBrackets(matcher: string): string {
  return matcher.includes('in') ? matcher.replaceAll('[', '(').replaceAll(']', ')') : matcher;
}

export function withoutComment(text: string): string {
  const hash = text.indexOf('#');
  return hash < 0 ? text : trim(text.slice(0, hash));
}

function mapValues<A, B>(map: Map<string, A>, change: (value: A, key: string) => B): Map<string, B> {
  return new Map([...map].map(([key, value]) => [key, change(value, key)]));
}

/** The rules of all files, repeats dropped; a repeat has the same text when joined by commas. */
export function readRules(text: string, model: Model): Rules {
  const policies = new Map([...model.policies.keys()].map((key) => [key, [] as string[][]]));
  const links = new Map([...model.roles.keys()].map((key) => [key, [] as string[][]]));
  const seen = new Set<string>();
  for (const raw of text.split('\n')) {
    const line = trim(raw);
    if (line === '' || line.startsWith('#')) continue;
    const [type = '', ...rule] = readCsvLine(line);
    const columns = model.policies.get(type);
    const role = model.roles.get(type);
    if (columns !== undefined) {
      if (rule.length !== columns.length) throw new LoadError(`expected ${columns.length} fields: ${line}`);
    } else if (role !== undefined) {
      if (rule.length < role.columns + role.conditions) throw new LoadError(`too few fields: ${line}`);
    } else {
      throw new LoadError(`unknown type: ${line}`);
    }
    const key = [type, ...rule].join(',');
    if (seen.has(key)) continue;
    seen.add(key);
    (policies.get(type) ?? links.get(type))?.push(rule);
  }
  return { policies, links };
}

/** RFC 4180 with leading space trimmed, quotes only around whole fields. */
export function readCsvLine(line: string): string[] {
  const fields: string[] = [];
  let rest = line;
  for (;;) {
    rest = rest.replace(leadingSpace, '');
    if (!rest.startsWith('"')) {
      const comma = rest.indexOf(',');
      const field = comma < 0 ? rest : rest.slice(0, comma);
      if (field.includes('"')) throw new LoadError(`a bare quote: ${line}`);
      fields.push(field);
      if (comma < 0) return fields;
      rest = rest.slice(comma + 1);
      continue;
    }
    const quoted = /^"((?:[^"]|"")*)"(?=,|$)/.exec(rest);
    if (quoted === null) throw new LoadError(`a quoted field does not end: ${line}`);
    fields.push(quoted[1]!.replaceAll('""', '"'));
    if (quoted[0].length === rest.length) return fields;
    rest = rest.slice(quoted[0].length + 1);
  }
}

/** Refuses the first constraint that the links of `g` violate. */
export function checkConstraints(model: Model, links: readonly string[][]): void {
  const rolesOf = new Map<string, Set<string>>();
  for (const [user, role] of links) {
    const roles = rolesOf.get(user!) ?? new Set<string>();
    rolesOf.set(user!, roles.add(role!));
  }
  for (const [key, text] of model.constraints) {
    const constraint = parseConstraint(text);
    const violated = [...rolesOf.values()].some((roles) => violates(constraint, roles));
    const tooMany =
      constraint.kind === 'roleMax' && links.filter(([, role]) => role === constraint.role).length > constraint.max;
    if (violated || tooMany) throw new LoadError(`constraint violation: ${key}`);
  }
}

type Constraint =
  | { readonly kind: 'sodMax'; readonly roles: readonly string[]; readonly max: number }
  | { readonly kind: 'roleMax'; readonly role: string; readonly max: number }
  | { readonly kind: 'rolePre'; readonly role: string; readonly needs: string };

function violates(constraint: Constraint, roles: ReadonlySet<string>): boolean {
  switch (constraint.kind) {
    case 'sodMax':
      return constraint.roles.filter((role) => roles.has(role)).length > constraint.max;
    case 'rolePre':
      return roles.has(constraint.role) && !roles.has(constraint.needs);
    case 'roleMax':
      return false;
  }
}

function parseConstraint(text: string): Constraint {
  const sod = /^sod\s*\(\s*"([^"]+)"\s*,\s*"([^"]+)"\s*\)$/.exec(text);
  // Both roles at once, also if the same role is named twice: then a holder of it has "both".
  if (sod) return { kind: 'sodMax', roles: [sod[1]!, sod[2]!], max: 1 };
  const sodMax = /^sodMax\s*\(\s*\[([^\]]+)\]\s*,\s*(\d+)\s*\)$/.exec(text);
  if (sodMax) {
    const roles = sodMax[1]!.split(',').map((role) => trim(role).replace(/^"+|"+$/g, ''));
    const named = roles.filter((role) => role !== '');
    if (named.length === 0) throw new LoadError(`no roles: ${text}`);
    return { kind: 'sodMax', roles: named, max: Number(sodMax[2]) };
  }
  const roleMax = /^roleMax\s*\(\s*"([^"]+)"\s*,\s*(\d+)\s*\)$/.exec(text);
  if (roleMax) return { kind: 'roleMax', role: roleMax[1]!, max: Number(roleMax[2]) };
  const rolePre = /^rolePre\s*\(\s*"([^"]+)"\s*,\s*"([^"]+)"\s*\)$/.exec(text);
  if (rolePre) return { kind: 'rolePre', role: rolePre[1]!, needs: rolePre[2]! };
  throw new LoadError(`not a constraint: ${text}`);
}
