import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CompileOptions, compilePolicySet, type SearchQuery } from '../../src/engine.js';

const now = Date.parse('2026-03-02T09:00:00Z');

function search(
  options: CompileOptions,
  query: SearchQuery,
  more: { limit?: number; after?: string; maxExamined?: number } = {},
) {
  return compilePolicySet(options).search(query, { now, ...more });
}

const rbac: CompileOptions = {
  model: `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act || r.sub == "root"
`,
  rules: `p, editor, report:1, write
p, reader, report:1, read
p, zoe, report:2, read
g, editor, reader
g, alice, editor
g, bob, reader
`,
  manifest: { request: { obj: '${resource.type}:${resource.id}' } },
  entities: '- { type: user, id: carol }\n- { type: report, id: "3" }\n- { type: service, id: cron }\n',
};
const report = { type: 'report', id: '1' };

describe('a search', () => {
  it('tries entities of the type, and names that rules speak of, but not roles', () => {
    const set = compilePolicySet(rbac);
    expect(set.candidates('subject', 'user')).toEqual(['alice', 'bob', 'carol', 'root', 'zoe']);
    expect(set.candidates('resource', 'report')).toEqual(['1', '2', '3']);
    expect(set.candidates('resource', 'invoice')).toEqual([]);
    expect(set.candidates('action')).toEqual(['read', 'write']);
  });

  it('finds subjects through their roles', () => {
    const query = { kind: 'subject', type: 'user', action: { name: 'read' }, resource: report } as const;
    expect(search(rbac, query)).toEqual({ results: ['alice', 'bob', 'root'], examined: 5, complete: true });
  });

  it('finds resources, with constants read back through the template that binds them', () => {
    const query = {
      kind: 'resource',
      type: 'report',
      subject: { type: 'user', id: 'zoe' },
      action: { name: 'read' },
    } as const;
    expect(search(rbac, query).results).toEqual(['2']);
    expect(search(rbac, { ...query, type: 'invoice' }).results).toEqual([]);
  });

  it('finds actions, those included that only the manifest names', () => {
    const query = { kind: 'action', subject: { id: 'alice' }, resource: report } as const;
    expect(search(rbac, query).results).toEqual(['read', 'write']);
    const manifest = { ...(rbac.manifest as object), search: { actions: ['archive'] } };
    expect(search({ ...rbac, manifest }, { ...query, subject: { id: 'root' } }).results).toEqual([
      'archive',
      'read',
      'write',
    ]);
  });

  it('uses stored attributes of the entities it searches through', () => {
    const abac: CompileOptions = {
      model: rbac.model.toString().replace(/m = .*/, 'm = r.act == p.act && r.sub.level >= r.obj.level'),
      rules: 'p, , , read',
      entities: `- { type: user, id: high, attributes: { level: 9 } }
- { type: user, id: low, attributes: { level: 1 } }
`,
    };
    const query = {
      kind: 'subject',
      type: 'user',
      action: { name: 'read' },
      resource: { id: 'x', attributes: { level: 5 } },
    } as const;
    expect(search(abac, query).results).toEqual(['high']);
  });

  it('pages in a stable order, and says when it is not complete', () => {
    const query = { kind: 'subject', type: 'user', action: { name: 'read' }, resource: report } as const;
    const first = search(rbac, query, { limit: 1 });
    expect(first).toEqual({ results: ['alice'], examined: 1, complete: false, next: 'alice' });
    const second = search(rbac, query, { limit: 2, after: 'alice' });
    expect(second).toEqual({ results: ['bob', 'root'], examined: 3, complete: false, next: 'root' });
    expect(search(rbac, query, { limit: 2, after: 'root' })).toEqual({ results: [], examined: 1, complete: true });
    expect(search(rbac, query, { maxExamined: 3 })).toMatchObject({
      results: ['alice', 'bob'],
      complete: false,
      next: 'carol',
    });
    expect(search(rbac, query, { limit: 0 })).toEqual({ results: [], examined: 0, complete: false });
  });

  it('does not take patterns for names', () => {
    const paths: CompileOptions = {
      model: rbac.model.toString().replace(/m = .*/, 'm = r.sub == p.sub && keyMatch2(r.obj, p.obj)'),
      rules: 'p, alice, /docs/:id, read\np, alice, /docs/new, read',
    };
    expect(compilePolicySet(paths).candidates('resource', 'path')).toEqual(['/docs/new']);
  });

  it('equals asking each candidate one by one', () => {
    const name = fc.constantFrom('a', 'b', 'c', 'x', 'y');
    const link = fc.tuple(name, name).filter(([child, parent]) => child < parent);
    const rule = fc.tuple(name, fc.constantFrom('1', '2'), fc.constantFrom('read', 'write'));
    fc.assert(
      fc.property(fc.array(link, { maxLength: 6 }), fc.array(rule, { minLength: 1, maxLength: 6 }), (links, rules) => {
        const text = [...rules.map((fields) => ['p', ...fields]), ...links.map((fields) => ['g', ...fields])];
        const set = compilePolicySet({ model: rbac.model, rules: text.map((line) => line.join(', ')).join('\n') });
        for (const act of ['read', 'write']) {
          const found = set.search(
            { kind: 'subject', type: 'user', action: { name: act }, resource: { id: '1' } },
            { now },
          );
          const roles = new Set<string>(links.map(([, parent]) => parent));
          const asked = ['a', 'b', 'c', 'root', 'x', 'y'].filter(
            (id) =>
              !roles.has(id) && set.decide({ subject: id, action: act, resource: '1' }, { now }).decision === 'allow',
          );
          expect(found.results).toEqual(asked);
        }
      }),
      { numRuns: 200 },
    );
  });
});
