import { recordsOf, type StoredGroup } from '../group-text.js';

/** Adds the numbers of an instance's records in a group. Those of damaged records are not known. */
export function addRecordedNumbers(instance: string, group: StoredGroup, numbers: Set<number>): void {
  const named = JSON.stringify(instance);
  if (!group.records.includes(named)) return;
  for (const { local } of recordsOf(group, [(text) => text.includes(named)], () => undefined)) {
    if (local?.instance === instance) numbers.add(local.number);
  }
}
