import type { WitnessedEntity } from '../../core/analysis/universe.js';
import type { Entity, JsonObject } from '../../core/request.js';
import { entityText } from './entity-text.js';

/**
 * An entity and, if it is a witness, whom it stands for:
 *
 *     witnessedText({ type: 'user', id: 'any-other' }, { id: 'any other' })     // user:(any other)
 *     witnessedText({ id: '/a/x' }, { id: 'any other in "/a/*"' })              // /a/x (any other in "/a/*")
 */
export function witnessedText(entity: Entity, witness: WitnessedEntity | undefined): string {
  const { id, type } = witness ?? {};
  if (id === undefined && type === undefined) return emptyText(entityText(entity));
  const shown = {
    ...(entity.type !== undefined && { type: nameText(entity.type, type) }),
    id: nameText(entity.id, id),
  };
  const regions = [...new Set([type, id].filter((words) => words?.startsWith('any other in') === true))];
  return regions.length === 0 ? entityText(shown) : `${entityText(shown)} (${regions.join('; ')})`;
}

export function actionText(action: string, witness: string | undefined): string {
  return witnessedText({ id: action }, witness === undefined ? undefined : { id: witness });
}

export function contextText(context: JsonObject, witness: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(context)
    .map(
      ([name, value]) =>
        `${name}=${witnessedText({ id: String(value) }, witness?.[name] === undefined ? undefined : { id: witness[name] as string })}`,
    )
    .join(' ');
}

function nameText(name: string, standsFor: string | undefined): string {
  if (standsFor === 'any') return '*';
  return standsFor === 'any other' ? '(any other)' : name;
}

function emptyText(text: string): string {
  return text === '' ? '""' : text;
}
