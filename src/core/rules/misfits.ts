/**
 * Rules that do not fit the model: their type is undefined, or they have another number of fields. If all rules of a
 * type misfit in the same way, the model is reported and not each rule.
 */

import type { CasbinModel, RoleDefinition } from '../casbin/casbin-model.js';
import type { ReportProblem } from '../casbin/document-problem.js';
import type { Section } from '../casbin/model-sections.js';
import type { RuleLine } from '../casbin/rules-document.js';
import { closest } from '../closest.js';
import { cut, quote } from '../quote.js';

/** Least number of columns of a grouping rule. Further columns are the author's own data. */
export function widthOf(role: RoleDefinition): number {
  return Math.max(role.width, role.leastColumns);
}

/** Rules of one type. */
interface Kind {
  /** Number of rules, with those that fit. */
  count: number;
  readonly misfits: RuleLine[];
}

export class Misfits {
  private readonly kinds = new Map<string, Kind>();
  /** Number of rules of a defined type, by file. */
  private readonly known = new Map<string, number>();

  constructor(private readonly model: CasbinModel) {}

  /** True if the rule can be stored. A grouping rule with further fields can be stored and is reported. */
  fits(line: RuleLine): boolean {
    let kind = this.kinds.get(line.ptype);
    if (kind === undefined) {
      kind = { count: 0, misfits: [] };
      this.kinds.set(line.ptype, kind);
    }
    kind.count++;
    const wanted = this.wantedOf(line.ptype);
    if (wanted !== undefined) this.known.set(line.file, (this.known.get(line.file) ?? 0) + 1);
    if (line.fields.length === wanted) return true;
    kind.misfits.push(line);
    return wanted !== undefined && this.model.roles.has(line.ptype) && line.fields.length > wanted;
  }

  tell(report: ReportProblem): void {
    const strangers: RuleLine[] = [];
    for (const [ptype, { count, misfits }] of this.kinds) {
      const wanted = this.wantedOf(ptype);
      if (wanted === undefined) strangers.push(...misfits);
      else if (!this.tellOfModel(ptype, wanted, count, misfits, report)) {
        for (const line of misfits) this.tellOfCount(line, wanted, report);
      }
    }
    this.tellOfStrangers(strangers, report);
  }

  private wantedOf(ptype: string): number | undefined {
    const role = this.model.roles.get(ptype);
    return this.model.policies.get(ptype)?.tokens.length ?? (role === undefined ? undefined : widthOf(role));
  }

  /** One problem at the definition, when no rule of the type fits it and all have the same number of fields. */
  private tellOfModel(
    ptype: string,
    wanted: number,
    count: number,
    misfits: readonly RuleLine[],
    report: ReportProblem,
  ): boolean {
    const [first] = misfits;
    const found = first?.fields.length ?? wanted;
    if (count < 2 || misfits.length < count || misfits.some(({ fields }) => fields.length !== found)) return false;
    const definition = (this.model.policies.get(ptype) ?? this.model.roles.get(ptype))?.definition;
    if (definition === undefined) return false;
    const place = { file: this.model.file, ...definition.place(0) };
    const message = `all ${count} rules of ${ptype} have ${found} fields, and the model defines ${wanted}: ${cut(definition.value)}`;
    const hint = `${found > wanted ? 'name what the model lacks' : 'take away what no rule has'}, or change the rules`;
    if (this.model.roles.has(ptype) && found > wanted) {
      report({ ...place, severity: 'warning', code: 'unread_fields', message, hint });
    } else {
      report({ ...place, severity: 'error', code: 'wrong_field_count', message, hint, refusedByReference: true });
    }
    return true;
  }

  private tellOfCount({ ptype, fields, file, line, columns }: RuleLine, wanted: number, report: ReportProblem): void {
    const policy = this.model.policies.get(ptype);
    if (policy === undefined && fields.length > wanted) {
      report({
        severity: 'warning',
        code: 'unread_fields',
        message: `${ptype} has ${wanted} columns, what this rule has beyond is not read`,
        file,
        line,
        column: columns[wanted + 1] ?? 1,
        hint: 'a domain needs a column of its own in the model',
      });
      return;
    }
    const names = policy === undefined ? '' : ` (${cut(policy.tokens.join(', '))})`;
    report({
      severity: 'error',
      code: 'wrong_field_count',
      message: `${ptype} has ${wanted} fields${names}, this rule has ${fields.length}`,
      file,
      line,
      column: columns[Math.min(wanted, fields.length) + (fields.length > wanted ? 1 : 0)] ?? 1,
      hint: hintOf(fields, wanted),
      refusedByReference: true,
    });
  }

  private tellOfStrangers(strangers: readonly RuleLine[], report: ReportProblem): void {
    const known = [...this.model.policies.keys(), ...this.model.roles.keys()];
    const defined = `it defines ${cut(known.join(', ')) || 'no rules'}`;
    const tell = ({ ptype, file, line, columns }: RuleLine, message: string, hint: string): void =>
      report({
        severity: 'error',
        code: 'unknown_ptype',
        follows: sectionOf(ptype),
        message,
        file,
        line,
        column: columns[0] ?? 1,
        hint,
        refusedByReference: true,
      });
    for (const [file, lines] of groupBy(strangers, (line) => line.file)) {
      const types = groupBy(lines, ({ ptype }) => ptype);
      if (types.size > 2 && !this.known.has(file)) {
        const message = `none of the ${lines.length} lines of this file begins with a type that the model defines`;
        tell(lines[0] as RuleLine, message, `is it a file of rules? ${defined}`);
        continue;
      }
      for (const [ptype, alike] of types) {
        const more = alike.length > 1 ? `; ${alike.length} rules of this file have it` : '';
        const meant = closest(ptype, known);
        const hint = meant === undefined ? defined : `did you mean ${quote(meant)}?`;
        tell(alike[0] as RuleLine, `the model defines no ${quote(ptype)}${more}`, hint);
      }
    }
  }
}

/** The definitions that a type of rules belongs to. */
function sectionOf(ptype: string): Section | undefined {
  return /^[pg]\d*$/.test(ptype) ? (ptype.charAt(0) as Section) : undefined;
}

function hintOf(fields: readonly string[], wanted: number): string {
  if (fields.some((field) => /\s#/.test(field))) return 'a comment is a line of its own, beginning with #';
  return fields.length > wanted
    ? 'a field that contains a comma must be put in double quotes'
    : 'a field may be missing';
}

function groupBy<Item>(items: readonly Item[], key: (item: Item) => string): ReadonlyMap<string, Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group === undefined) groups.set(key(item), [item]);
    else group.push(item);
  }
  return groups;
}
