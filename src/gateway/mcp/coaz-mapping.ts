/**
 * Mappings that a server declares for its tools (`x-authzen-mapping`): a template of an AuthZEN request, each value of which may be an
 * expression. From the COAZ framework and its binding for MCP (OpenID AuthZEN working group, drafts of February 2026).
 */
import { isObject } from '../../core/matcher/values.js';
import type { DecisionRequest, Entity, Json, JsonObject } from '../../core/request.js';
import { absent, evaluateExpression, MappingError, type MappingInputs } from './coaz-expressions.js';

/** A question about a message. Its token is verified before it is made. */
export type McpQuestion = Omit<DecisionRequest, 'tokens'>;

/** Deepest nesting of a template. */
const mostDepth = 16;
const mostEvaluations = 100;

/**
 * The questions of a declared mapping, all of which must be allowed.
 *
 * @param subjectId the user by the verified token: a mapping may write it, and nobody else
 * @throws MappingError
 */
export function mappedQuestions(mapping: Json, inputs: MappingInputs, subjectId: string): readonly McpQuestion[] {
  if (!isObject(mapping)) throw new MappingError('x-authzen-mapping is no object');
  const [envelope, ...others] = Object.keys(mapping);
  if (others.length > 0 || (envelope !== 'evaluation' && envelope !== 'evaluations')) {
    throw new MappingError('x-authzen-mapping has one member, evaluation or evaluations');
  }
  const resolved = resolve(mapping[envelope] as Json, inputs, countOf(inputs as unknown as Json), 0);
  if (resolved === absent || !isObject(resolved)) throw new MappingError(`${envelope} is no object`);
  if (envelope === 'evaluation') {
    allow(resolved, ['subject', 'action', 'resource', 'context'], envelope);
    return [questionOf(resolved, subjectId)];
  }
  allow(resolved, ['subject', 'action', 'resource', 'context', 'evaluations'], envelope);
  const { evaluations, ...defaults } = resolved;
  if (!Array.isArray(evaluations) || evaluations.length === 0 || evaluations.length > mostEvaluations) {
    throw new MappingError(`evaluations has a list of 1 to ${mostEvaluations} evaluations`);
  }
  return evaluations.map((each) => {
    if (!isObject(each)) throw new MappingError('an evaluation is no object');
    // One of the entries could name another user.
    allow(each, ['action', 'resource', 'context'], 'an evaluation of a list');
    return questionOf({ ...defaults, ...each }, subjectId);
  });
}

function questionOf({ subject, action, resource, context }: JsonObject, subjectId: string): McpQuestion {
  const given = entityOf(subject === undefined ? {} : subject, 'subject', { type: 'identity', id: subjectId });
  if (given.id !== subjectId) throw new MappingError('subject.id is not the subject of the token');
  if (!isObject(action)) throw new MappingError('action is no object');
  allow(action, ['name', 'properties'], 'action');
  if (context !== undefined && !isObject(context)) throw new MappingError('context is no object');
  return {
    subject: given,
    action: { name: textOf(action.name, 'action.name'), ...attributesOf(action.properties, 'action') },
    resource: entityOf(resource, 'resource'),
    ...(context !== undefined && { attributes: context }),
  };
}

function entityOf(value: Json | undefined, what: string, fallback: { type?: string; id?: string } = {}): Entity {
  if (!isObject(value)) throw new MappingError(`${what} is no object`);
  allow(value, ['type', 'id', 'properties'], what);
  const { type = fallback.type, id = fallback.id, properties } = value;
  return {
    type: textOf(type, `${what}.type`),
    id: textOf(id, `${what}.id`),
    ...attributesOf(properties, what),
  };
}

function attributesOf(properties: Json | undefined, what: string): { attributes?: JsonObject } {
  if (properties === undefined) return {};
  if (!isObject(properties)) throw new MappingError(`${what}.properties is no object`);
  return { attributes: properties };
}

function textOf(value: Json | undefined, what: string): string {
  if (typeof value !== 'string') throw new MappingError(`${what} is ${value === undefined ? 'missing' : 'no text'}`);
  return value;
}

function allow(value: JsonObject, names: readonly string[], what: string): void {
  const other = Object.keys(value).find((name) => !names.includes(name));
  if (other !== undefined) throw new MappingError(`${what} has no member ${JSON.stringify(other.slice(0, 100))}`);
}

/** A template with its expressions in place: `$token.sub` is one, and `$$5` the text `$5`. */
function resolve(template: Json, inputs: MappingInputs, values: number, depth: number): Json | typeof absent {
  if (depth > mostDepth) throw new MappingError('x-authzen-mapping is nested too deeply');
  if (typeof template === 'string') {
    if (!template.startsWith('$')) return template;
    return template.startsWith('$$') ? template.slice(1) : evaluateExpression(template.slice(1), inputs, values);
  }
  if (Array.isArray(template)) {
    return template.flatMap((element) => {
      const value = resolve(element, inputs, values, depth + 1);
      return value === absent ? [] : [value as Json];
    });
  }
  if (!isObject(template)) return template;
  const copy: JsonObject = {};
  for (const [name, member] of Object.entries(template)) {
    const value = resolve(member, inputs, values, depth + 1);
    if (value !== absent) copy[name] = value as Json;
  }
  return copy;
}

/** Number of values in a value, itself included. */
function countOf(value: Json): number {
  let count = 0;
  const left: Json[] = [value];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    count++;
    if (typeof next === 'object' && next !== null) for (const member of Object.values(next)) left.push(member);
  }
  return count;
}
