/** Tokens and claims that a set reads and its manifest does not declare, and what goes with tokens and what does not. */
import { closest } from '../closest.js';
import type { Manifest } from '../manifest/manifest.js';
import { type Expression, walk } from '../matcher/ast.js';
import { isObject } from '../matcher/values.js';
import { cut, quote } from '../quote.js';
import { checkTexts } from './check-texts.js';
import type { CheckedTexts } from './checked-texts.js';
import { conditionColumns } from './combination.js';

/** What no request could have: it would be missing for ever, and nobody would be told. */
interface Slip {
  readonly code: 'undeclared_token' | 'undeclared_claim';
  readonly message: string;
  readonly hint?: string;
}

export function* checkTokenClaims(set: CheckedTexts): Generator<void> {
  const { manifest, model, main, report } = set;
  checkBindings(set);
  if (manifest.tokens.size === 0) return;
  if (manifest.local !== undefined) {
    // A client has no keys of issuers: it would take its user's word for what only a signature says.
    const message = 'clients cannot decide by themselves with a set that reads tokens: the service alone verifies them';
    const hint = 'leave out "local", or decide by attributes instead of tokens';
    report({
      severity: 'error',
      code: 'tokens_not_local',
      message,
      hint,
      ...manifest.placeOf('local'),
      refusedByReference: true,
    });
  }
  checkSchema(set);
  const definition = model.matchers.get(manifest.definitions.m);
  for (const { at, ...slip } of slipsIn(main.program.expression, set)) {
    const place = definition?.place(at) ?? { line: 1, column: 1 };
    report({ severity: 'error', ...slip, file: model.file, ...place, refusedByReference: true });
  }
  if (!main.callsEval) return;
  for (const column of conditionColumns(main.program.expression, main.policy)) {
    yield* checkTexts(set, main.rules, column, (text) => {
      const condition = main.conditions.find(text);
      const slips = condition.run === undefined ? [] : slipsIn(condition.expression, set);
      return slips.map((slip) => ({ ...slip, refusedByReference: true as const }));
    });
  }
}

function checkBindings({ manifest, main, report }: CheckedTexts): void {
  for (const { token, role, line } of main.tokens) {
    if (line === undefined) continue;
    const place = manifest.placeOf('request', token);
    if (role === 'token') {
      const message = `r.${token} is the tokens that the manifest declares, and cannot be something else`;
      report({ severity: 'error', code: 'ambiguous_binding', message, ...place, refusedByReference: true });
    }
    for (const path of line.kind === 'path' ? [line.path] : line.parts) {
      if (typeof path === 'string' || path.root !== 'token') continue;
      const slip = slipOf('token', path.steps, manifest);
      if (slip !== undefined) report({ severity: 'error', ...slip, ...place, refusedByReference: true });
    }
  }
}

function checkSchema({ manifest, schema, schemaText, report }: CheckedTexts): void {
  const described = schema.tokens?.properties;
  for (const name of isObject(described) ? Object.keys(described) : []) {
    const slip = slipOf('tokens', [name], manifest);
    const file = schemaText?.file ?? 'schema.yaml';
    if (slip !== undefined) report({ severity: 'error', ...slip, file, line: 1, column: 1 });
  }
}

function slipsIn(
  expression: Expression,
  { main, manifest }: CheckedTexts,
): readonly (Slip & { readonly at: number })[] {
  const slips: (Slip & { readonly at: number })[] = [];
  walk(expression, (part) => {
    if (part.kind !== 'attribute') return;
    if (main.tokens[main.request.columns.get(part.name) ?? -1]?.role !== 'token') return;
    const slip = slipOf('r.token', part.path, manifest);
    if (slip !== undefined) slips.push({ ...slip, at: part.at });
  });
  return slips;
}

/** @param before how the author writes what the path begins at */
function slipOf(before: string, [name, claim]: readonly string[], { tokens }: Manifest): Slip | undefined {
  if (name === undefined) return undefined;
  const declared = tokens.get(name);
  if (declared === undefined) {
    const message = `${before}.${cut(name)} is no token that the manifest declares`;
    return { code: 'undeclared_token', message, ...hintFor(name, [...tokens.keys()], 'tokens declares') };
  }
  const { claims } = declared;
  if (claim === undefined || claims === undefined || claims.has(claim)) return undefined;
  const message = `${before}.${cut(name)}.${cut(claim)} is no claim that tokens.${cut(name)}.claims names`;
  return { code: 'undeclared_claim', message, ...hintFor(claim, [...claims.keys()], 'it names') };
}

function hintFor(name: string, known: readonly string[], says: string): { readonly hint: string } {
  const meant = closest(name, known);
  if (meant !== undefined) return { hint: `did you mean ${quote(meant)}?` };
  return {
    hint: known.length === 0 ? 'policy-set.yaml declares tokens under "tokens"' : `${says} ${cut(known.join(', '))}`,
  };
}
