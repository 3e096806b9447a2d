import type { AuditEvent } from './audit-event.js';

/** The members of an event that can hold the name of somebody. */
const namingMembers = ['actor', 'address', 'policySet', 'detail', 'requestId'] as const;

/** What a name can go on with: `dana` is not named by `dana-2`, `dana_b` or `dana@example.org`. */
const nameCharacter = /[\p{L}\p{N}_@-]/u;

/**
 * Whether an event names somebody: a member is equal to the id, or a part of it is that does not go on before or behind.
 *
 *     {actor: 'dana'}, {detail: 'dana: decide'}, {detail: 'user:dana'}   →  true for dana
 *     {detail: 'bogdana: decide'}, {detail: 'dana-2'}                     →  false
 */
export function namesInEvent(event: Pick<AuditEvent, (typeof namingMembers)[number]>, id: string): boolean {
  return namingMembers.some((member) => namesInText(event[member], id));
}

/** As `namesInEvent`, for one text. */
export function namesInText(text: string | undefined, id: string): boolean {
  if (text === undefined || id === '') return text === id;
  for (let at = text.indexOf(id); at !== -1; at = text.indexOf(id, at + 1)) {
    const before = text.slice(0, at).match(/.$/su)?.[0] ?? '';
    const behind = text.slice(at + id.length).match(/^./su)?.[0] ?? '';
    if (!nameCharacter.test(before) && !nameCharacter.test(behind)) return true;
  }
  return false;
}
