/** Candidates of a search (docs/authzen.md): stored entities, and names in rules. */
import type { CompiledPolicySet } from '../policy/compile.js';
import { sortInSteps } from '../steps.js';
import { namesInSteps, type SearchKind } from './names.js';

/** What a search tries. */
export interface Candidates {
  readonly ids: readonly string[];
  /** How many names were left out since they are names of roles. */
  readonly rolesLeftOut: number;
}

const remembered = new WeakMap<CompiledPolicySet, Map<string, Candidates>>();

/**
 * The ids (of actions: the names) that a search tries, each once, in the order of their code units: an order that
 * stays the same as long as the version does, so that a page can go on where the last one ended.
 */
export function* candidatesInSteps(
  set: CompiledPolicySet,
  kind: SearchKind,
  type: string | undefined,
): Generator<void, Candidates> {
  let lists = remembered.get(set);
  if (lists === undefined) {
    lists = new Map();
    remembered.set(set, lists);
  }
  // A type that nobody has heard of has the same candidates as any other such type, and is not worth remembering.
  const key = kind === 'action' ? kind : `${kind}:${type}`;
  let list = lists.get(key);
  if (list === undefined) {
    const { ids, rolesLeftOut } = yield* findCandidates(set, kind, type);
    list = { ids: yield* sortInSteps([...ids]), rolesLeftOut };
    if (lists.size < maxLists) lists.set(key, list);
  }
  return list;
}

const maxLists = 100;

function* findCandidates(
  set: CompiledPolicySet,
  kind: SearchKind,
  type: string | undefined,
): Generator<void, { readonly ids: ReadonlySet<string>; readonly rolesLeftOut: number }> {
  const ids = new Set<string>();
  const leftOut = new Set<string>();
  const add = (id: string | undefined, isRole: boolean): void => {
    if (id !== undefined) (isRole ? leftOut : ids).add(id);
  };
  yield* namesInSteps(set, kind, (named, source, isRole) => {
    if (source.isPattern) return;
    if (kind === 'action') return add(named.action, isRole);
    const entity = named[kind];
    if (entity?.type === undefined || entity.type === type) add(entity?.id, isRole);
  });
  for (const id of ids) leftOut.delete(id);
  return { ids, rolesLeftOut: leftOut.size };
}
