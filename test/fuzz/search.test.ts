/** A search finds what deciding every candidate finds, in the same order, however it is cut into pages. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compilePolicySet, type DecisionRequest, type PolicySet, type SearchQuery } from '../../src/engine.js';
import { runs, seed, timeout } from './runs.js';
import { world } from './worlds.js';

const now = Date.UTC(2024, 5, 1);
const oneOf = <T>(...values: readonly T[]) => fc.constantFrom(...values);

/** What the manifest may bind a token to; the texts of the worlds fit all of them now and then. */
const manifest = fc.record(
  {
    request: fc.record(
      {
        sub: oneOf('subject.id', 'a${subject.id}', '${subject.id}e', '${subject.type}:${subject.id}', 'subject.dept'),
        obj: oneOf('resource.id', '/a/${resource.id}', '/${resource.type}/${resource.id}', '${resource.id}/b'),
        act: oneOf('action.name', '${action.name}e', 'resource.act'),
        dom: oneOf('attributes.tenant', 'resource.tenant', 'subject.tenant', 'd${resource.id}'),
      },
      { requiredKeys: [] },
    ),
    search: fc.constant({ actions: ['write', 'list', 'rea', 'writ'] }),
  },
  { requiredKeys: [] },
);

const tenant = oneOf('d1', 'd2', '', 'x');
const entities = fc.uniqueArray(
  fc.record({
    type: oneOf('a', 'x', 'alic'),
    id: oneOf('alice', 'bob', 'lice', 'root', 'e', 'b', 'b/c', 'data1', '/a', '/a/b', '1', ''),
    attributes: fc.record({ tenant, dept: oneOf('alice', 'sales'), act: oneOf('read', 'write') }, { requiredKeys: [] }),
  }),
  { maxLength: 6, selector: ({ type, id }) => `${type} ${id}` },
);

const type = oneOf(undefined, 'a', 'x', 'alic');
const subject = fc.record({ type, id: oneOf('alice', 'bob', 'root', 'lice', 'admin', '/a/b') });
const resource = fc.record({ type, id: oneOf('data1', '/a/b', 'b', '/a/b/c', 'b/c', '10.0.0.1') });
const action = fc.record({ name: oneOf('read', 'write', 'GET', 'writ', 'list') });
const attributes = oneOf(undefined, {}, { tenant: 'd1' }, { tenant: 'd2' }, { tenant: '' });

const query: fc.Arbitrary<SearchQuery> = fc
  .record({ kind: oneOf('subject', 'resource', 'action'), type, subject, action, resource, attributes })
  .map(
    (drawn) =>
      JSON.parse(JSON.stringify({ ...drawn, ...(drawn.kind === 'action' && { type: undefined }) })) as SearchQuery,
  );

const page = fc.record({ limit: oneOf(1, 2, 1000), maxExamined: oneOf(1, 3, 1000) });

function bruteForce(set: PolicySet, { kind, type, subject, action, resource, attributes }: SearchQuery): string[] {
  return set.candidates(kind, type).filter((id) => {
    const found = type === undefined ? { id } : { type, id };
    const request = {
      subject: kind === 'subject' ? found : subject,
      action: kind === 'action' ? { name: id } : action,
      resource: kind === 'resource' ? found : resource,
      ...(attributes !== undefined && { attributes }),
    } as DecisionRequest;
    return set.decide(request, { now }).decision === 'allow';
  });
}

describe(`a search and brute force agree (seed ${seed})`, () => {
  it('on random models, rules, roles, bindings and entities, page by page', { timeout }, () => {
    // Were every candidate decided each time, or none allowed, this would show nothing.
    const seen = { narrowed: 0, spared: 0, found: 0, scanned: 0 };
    const asks = fc.array(fc.tuple(query, page), { minLength: 6, maxLength: 6 });
    fc.assert(
      fc.property(world, manifest, entities, asks, ({ model, rules, roleMatching }, bindings, known, queries) => {
        const set = compilePolicySet({
          model,
          rules,
          roleMatching,
          manifest: bindings as never,
          entities: known as never,
        });
        for (const [asked, { limit, maxExamined }] of queries) {
          const wanted = bruteForce(set, asked);
          const results: string[] = [];
          let examined = 0;
          for (let after: string | undefined, turn = 0; turn < 100; turn++) {
            const part = set.search(asked, { now, limit, maxExamined, ...(after !== undefined && { after }) });
            expect(part.results.length).toBeLessThanOrEqual(limit);
            expect(part.examined).toBeLessThanOrEqual(maxExamined);
            results.push(...part.results);
            examined += part.examined;
            if (part.complete) {
              if (part.narrowed) seen.narrowed++;
              else seen.scanned++;
              break;
            }
            expect(part.next).toBeDefined();
            after = part.next;
          }
          expect(results, JSON.stringify(asked)).toEqual(wanted);
          if (examined < set.candidates(asked.kind, asked.type).length) seen.spared++;
          if (wanted.length > 0) seen.found++;
        }
      }),
      runs(1500),
    );
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(runs(300).numRuns);
  });
});
