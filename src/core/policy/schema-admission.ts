/** `schema: { requests: … }`: a request as evaluated, with stored attributes, must fit `schema.yaml`. */

import type { Diagnostic } from '../decision.js';
import { pointerStep } from '../json-pointer.js';
import { SchemaCompiler } from '../manifest/json-schema.js';
import type { SchemaPart } from '../manifest/schema.js';
import type { SchemaCheck, SchemaFault } from '../manifest/schema-checking.js';
import { quote } from '../quote.js';
import type { Json, JsonObject } from '../request.js';
import type { Admission, AdmissionParts } from './admission.js';
import { BindingError, type BoundRequest } from './binding.js';

export function schemaAdmission({ manifest, schema }: AdmissionParts): Admission | undefined {
  const { schemaRequests } = manifest;
  const { entities, action, environment, tokens, definitions } = schema;
  if (schemaRequests === 'ignore' || schema.parts.size === 0) return undefined;
  const compiler = new SchemaCompiler(definitions);
  const byType = (schemas: ReadonlyMap<string, Json>): ReadonlyMap<string, SchemaCheck> =>
    new Map([...schemas].map(([type, of]) => [type, compiler.compile(of)]));
  const [subjects, resources] = [byType(entities.subject), byType(entities.resource)];
  const ofAction = action === undefined ? undefined : compiler.compile(action);
  const ofEnvironment = environment === undefined ? undefined : compiler.compile(environment);

  const ofTokens = tokens === undefined ? undefined : compiler.compile(tokens);

  const faultsIn = (bound: BoundRequest): (Diagnostic | 'step_budget_exceeded')[] => {
    const { subject, resource, request } = bound;
    const found = [
      faultOf('subject', subject.type === undefined ? undefined : subjects.get(subject.type), subject),
      faultOf('action', ofAction, bound.action),
      faultOf('resource', resource.type === undefined ? undefined : resources.get(resource.type), resource),
      faultOf('environment', ofEnvironment, { merged: request.attributes ?? {} }),
      // Sound: claims by token are an object like any other, which the check only reads.
      faultOf('token', ofTokens, { merged: (request.tokens ?? {}) as JsonObject }),
    ];
    return found.filter((fault) => fault !== undefined);
  };

  return (bound) => {
    const found = faultsIn(bound);
    if (found.length === 0) return undefined;
    if (found.includes('step_budget_exceeded')) return tooManySteps;
    const faults = found as Diagnostic[];
    if (schemaRequests === 'warn') return faults;
    return new BindingError('schema_violation', (faults[0] as Diagnostic).message, faults);
  };
}

const tooManySteps = new BindingError('step_budget_exceeded', 'it takes too many steps to check the attributes');

/** Merges attributes only if there is something to check. */
function faultOf(
  part: SchemaPart,
  check: SchemaCheck | undefined,
  entity: { readonly merged: JsonObject },
): Diagnostic | 'step_budget_exceeded' | undefined {
  const fault = check?.(entity.merged);
  if (fault === undefined || fault === 'step_budget_exceeded') return fault;
  return { code: 'schema_violation', message: describeFault(part, fault), pointer: pointerTo(part, fault) };
}

/** `the subject's attribute "age" must be integer` */
function describeFault(part: SchemaPart, { path, message }: SchemaFault): string {
  const name = path.at(-1);
  if (part === 'token') return `the claim ${quote(path.join('.'))} ${message}`;
  const owner = part === 'environment' ? 'the request' : `the ${part}`;
  return name === undefined ? `what ${owner} has ${message}` : `${owner}'s attribute ${quote(name)} ${message}`;
}

/** JSON pointer to the fault, or to the part of the way that is short enough. */
function pointerTo(part: SchemaPart, { path }: SchemaFault): string {
  let pointer = part === 'environment' ? '/attributes' : part === 'token' ? '/tokens' : `/${part}/attributes`;
  for (const step of path) {
    const next = `${pointer}/${pointerStep(step)}`;
    if (next.length > longestPointer) break;
    pointer = next;
  }
  return pointer;
}

const longestPointer = 512;
