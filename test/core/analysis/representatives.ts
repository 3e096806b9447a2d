/** Which question of a universe stands for a request, found by another way than the universe was: name by name. */
import { type Permission, requestOfPermission } from '../../../src/core/analysis/examiner.js';
import { asksForAttributes, keyOfToken, type NameGroup } from '../../../src/core/analysis/name-group.js';
import type { Residual } from '../../../src/core/analysis/residual.js';
import { keyOf, type Universe } from '../../../src/core/analysis/universe.js';
import { bindScope, bindValues } from '../../../src/core/engine/ask.js';
import { compileExpression } from '../../../src/core/matcher/compile.js';
import { builtInFunctions } from '../../../src/core/matcher/functions/built-in-functions.js';
import { Scope } from '../../../src/core/matcher/scope.js';
import { BindingError, bindRequest, tokenValue } from '../../../src/core/policy/binding.js';
import { isCombination } from '../../../src/core/policy/combination.js';
import type { CompiledPolicySet } from '../../../src/core/policy/compile.js';
import type { DecisionRequest, Entity, JsonObject } from '../../../src/core/request.js';
import { unmetered } from '../../../src/core/step-budget.js';

/** Whether the patterns that cut regions answer for both names alike. */
function isAlike(group: NameGroup | undefined, one: string, other: string): boolean {
  for (const id of group?.cut ?? []) {
    const { function: name, text } = group!.patterns.get(id)!;
    const matches = builtInFunctions.get(name)!.prepare!(text);
    if (matches(one, unmetered) !== matches(other, unmetered)) return false;
  }
  return true;
}

/** The texts that a request gives the tokens of a set, by their groups; of tokens that it gives none undefined. */
function textsOf(set: CompiledPolicySet, { groups }: Universe, question: Permission): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  const { subject, resource, action, context } = question;
  const members: readonly [string, string | undefined][] = [
    ['subject.type', subject.type],
    ['subject.id', subject.id],
    ['resource.type', resource.type],
    ['resource.id', resource.id],
    ['action.name', action],
    ...Object.entries(context).map(([name, value]): [string, string] => [`attributes.${name}`, String(value)]),
  ];
  for (const [member, text] of members) if (text !== undefined && groups.has(member)) texts.set(member, text);
  if (!isCombination(set.main)) return texts;
  const bound = bindRequest(requestOfPermission(question), set.entities, set.manifest.precedence);
  if (bound instanceof BindingError) return texts;
  for (const token of set.main.tokens) {
    const key = keyOfToken(token);
    const value = tokenValue(token, bound);
    if (key !== undefined && groups.get(key)?.template !== undefined && typeof value === 'string')
      texts.set(key, value);
  }
  return texts;
}

/**
 * The question itself if its names are listed, else the witnesses of its regions; undefined for what a universe leaves
 * out: names of roles, and stored ids under another type.
 */
export function regionOf(set: CompiledPolicySet, universe: Universe, asked: Permission): Permission | undefined {
  const { groups, witnesses } = universe;
  // Without a part of a template it is denied before any rule is asked.
  if (bindValues(set, requestOfPermission(asked)) instanceof BindingError) return undefined;
  const stored = (entity: Entity): Entity => {
    const found = set.entities.find(entity.type, entity.id);
    return entity.type === undefined && typeof found === 'object' ? { ...entity, type: found.type } : entity;
  };
  const [subject, resource] = [stored(asked.subject), stored(asked.resource)];
  for (const { type, id } of [subject, resource]) {
    const isOfOtherType = [...set.entities].some((entity) => entity.id === id && entity.type !== type);
    if (isOfOtherType) return undefined;
  }
  const exact = { ...asked, subject, resource };
  // Where no attribute is read, a stored entity is like others of its type.
  const isOfStored = isCombination(set.main) && asksForAttributes(set.main);
  const wanted = textsOf(set, universe, exact);
  const fits = (question: Permission, part: string | undefined): boolean => {
    const texts = textsOf(set, universe, question);
    for (const [key, group] of groups) {
      if (part !== undefined && !group.members.every((member) => member.startsWith(`${part}.`))) continue;
      const [one, other] = [wanted.get(key), texts.get(key)];
      if ((one === undefined) !== (other === undefined)) return false;
      if (one === undefined || other === undefined || one === other) continue;
      if (group.texts.has(one) || group.texts.has(other) || !isAlike(group, one, other)) return false;
    }
    return true;
  };
  const entitiesFor = (
    part: 'subject' | 'resource',
    entities: readonly Entity[],
    wanting: Entity,
  ): readonly Entity[] => {
    const itself = entities.filter((entity) => keyOf(entity) === keyOf(wanting) && !witnesses.entities.has(entity));
    if (itself.length > 0) return itself;
    // Stored, and of a type that the rules do not name for this part: one of others, whatever its attributes are.
    const isStored = typeof set.entities.find(wanting.type, wanting.id) === 'object';
    if (isStored && set.manifest.unknownDenied !== undefined) return [];
    return entities.filter((entity) => {
      if (isOfStored && typeof set.entities.find(entity.type, entity.id) === 'object') return false;
      const witness = witnesses.entities.get(entity);
      const sampled = witnesses.samples.entities.get(entity);
      const standsFor = (member: 'id' | 'type') =>
        witness?.[member] !== undefined || sampled?.includes(member) === true;
      const types = universe.listed.get(`${part}.type`);
      const isOfType =
        entity.type === wanting.type ||
        types === undefined ||
        (standsFor('type') && wanting.type !== undefined && !types.has(wanting.type));
      const ids = universe.listed.get(`${part}.id`);
      const hasId = entity.id === wanting.id || ids === undefined || (standsFor('id') && !ids.has(wanting.id));
      return isOfType && hasId && fits({ ...exact, [part]: entity }, part);
    });
  };
  const itsAction = universe.actions.filter((action) => action === asked.action && !witnesses.actions.has(action));
  const standsForActions = (action: string) => witnesses.actions.has(action) || witnesses.samples.actions.has(action);
  const others = universe.actions.filter(standsForActions);
  const actions = itsAction.length > 0 ? itsAction : others.filter((action) => fits({ ...exact, action }, 'action'));
  const standsForContexts = (context: JsonObject, name: string) =>
    witnesses.contexts.get(context)?.[name] !== undefined ||
    witnesses.samples.contexts.get(context)?.includes(name) === true;
  const isGiven = ([name, value]: readonly [string, unknown], context: JsonObject) =>
    context[name] === value || standsForContexts(context, name);
  const contexts = universe.contexts.filter(
    (context) =>
      Object.entries(context).every(([name, value]) => {
        const own = asked.context[name];
        if (own === value) return witnesses.contexts.get(context)?.[name] === undefined;
        return isGiven([name, own], context) && universe.listed.get(`attributes.${name}`)?.has(String(own)) !== true;
      }) && fits({ ...exact, context: { ...asked.context, ...context } }, 'attributes'),
  );
  for (const context of contexts) {
    for (const action of actions) {
      for (const one of entitiesFor('subject', universe.subjects, subject)) {
        for (const other of entitiesFor('resource', universe.resources, resource)) {
          const question = { subject: one, action, resource: other, context };
          if (fits({ ...question, context: { ...asked.context, ...context } }, undefined)) return question;
        }
      }
    }
  }
  const areStored = [subject, resource].some(({ type, id }) => typeof set.entities.find(type, id) === 'object');
  if (areStored && set.manifest.unknownDenied !== undefined) return undefined;
  // A name of a role is compared and not listed.
  const isLeftOut = [...groups].some(([key, { texts }]) => texts.has(wanted.get(key) ?? ' '));
  if (isLeftOut) return undefined;
  throw new Error(`nothing stands for ${JSON.stringify(asked)}`);
}

/** Whether a condition holds for a request: each of its terms, evaluated with what the request says. */
export function residualHolds(
  set: CompiledPolicySet,
  residual: Residual,
  request: DecisionRequest,
  now: number,
): boolean {
  switch (residual.kind) {
    case 'always':
      return true;
    case 'never':
      return false;
    case 'and':
      return residual.parts.every((part) => residualHolds(set, part, request, now));
    case 'or':
      return residual.parts.some((part) => residualHolds(set, part, request, now));
    case 'term': {
      if (!isCombination(set.main)) return false;
      const scope = new Scope();
      if (bindScope(scope, set, set.main, request, now) !== undefined) return false;
      scope.roles = set.main.roles;
      const run = compileExpression(residual.expression, { ...set.main.environment, report: () => {} });
      return run(scope) === residual.holds;
    }
    default:
      return residual satisfies never;
  }
}
