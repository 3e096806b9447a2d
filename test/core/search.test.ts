import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CompileOptions, compilePolicySet, type JsonObject, type SearchQuery } from '../../src/engine.js';

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
    expect(search(rbac, query)).toEqual({
      results: ['alice', 'bob', 'root'],
      examined: 3,
      complete: true,
      narrowed: true,
      rolesLeftOut: 2,
    });
  });

  it('with a name that decide refuses has no results, and says why', () => {
    const open = { ...rbac, model: (rbac.model as string).replace(/^m = .*$/m, 'm = r.sub != "x" || g(r.sub, p.sub)') };
    for (const [fault, what] of [
      ['a\u0000', 'a control character'],
      ['a\u009f', 'a control character'],
      ['\ud800', 'half of a character'],
    ] as const) {
      const refused = (pointer: string) => ({
        results: [],
        examined: 0,
        complete: true,
        narrowed: true,
        errors: [
          { code: 'control_character', pointer, message: `${pointer.slice(1).replace('/', '.')} holds ${what}` },
        ],
      });
      const set = compilePolicySet(open);
      const read = { name: 'read' };
      expect(set.whoCan({ action: { name: fault }, resource: report }, { now })).toEqual(refused('/action/name'));
      expect(set.whoCan({ action: read, resource: { id: fault } }, { now })).toEqual(refused('/resource/id'));
      expect(set.whoCan({ type: fault, action: read, resource: report }, { now })).toEqual(refused('/subject/type'));
      expect(set.whatCan({ subject: { id: fault }, action: read }, { now })).toEqual(refused('/subject/id'));
      const subject = { type: fault, id: 'alice' };
      expect(set.whatCan({ subject, resource: report }, { now })).toEqual(refused('/subject/type'));
      expect(search(open, { kind: 'resource', type: fault, subject: { id: 'alice' }, action: read })).toEqual(
        refused('/resource/type'),
      );
      expect(set.decide({ subject, action: 'read', resource: report }, { now }).errors).toEqual(
        refused('/subject/type').errors,
      );
    }
    expect(compilePolicySet(open).whoCan({ action: { name: 'read' }, resource: report }, { now }).results).not.toEqual(
      [],
    );
  });

  describe('a role name is left out', () => {
    const sets = (m: string, rules: string, more: Partial<CompileOptions> = {}) =>
      compilePolicySet({
        ...rbac,
        model: (rbac.model as string).replace(/m = .*/, `m = ${m}`).replace('g = _, _', 'g = _, _\ng2 = _, _'),
        rules,
        ...more,
      });
    const plain = { manifest: {}, entities: '- { type: user, id: zoe }' };
    const rules = 'p, editor, folder, read\ng, ann, editor\ng2, paper, folder';

    it('for the token that is the first argument of its g, and for no other', () => {
      const set = sets('g(r.sub, p.sub) && g2(r.obj, p.obj) && r.act == p.act', rules, plain);
      expect([set.candidates('subject', 'user'), set.rolesLeftOut('subject', 'user')]).toEqual([['ann', 'zoe'], 1]);
      expect([set.candidates('resource', 'doc'), set.rolesLeftOut('resource', 'doc')]).toEqual([['paper'], 1]);
      const direct = sets('r.sub == p.sub && g2(r.obj, p.obj)', rules, plain);
      expect(direct.candidates('subject', 'user')).toEqual(['editor', 'zoe']);
      const others = sets('g(r.sub, p.sub) && r.obj == p.obj', 'p, editor, editor, read\ng, ann, editor', plain);
      expect([others.candidates('resource', 'doc'), others.rolesLeftOut('resource', 'doc')]).toEqual([['editor'], 0]);
    });

    it('never for actions', () => {
      const set = sets('r.sub == p.sub && g(r.act, p.act)', 'p, ann, x, write\ng, append, write', plain);
      expect([set.candidates('action'), set.rolesLeftOut('action')]).toEqual([['append', 'write'], 0]);
    });

    it('never where an entity has that name', () => {
      const entities = '- { type: group, id: editor }';
      const set = sets('g(r.sub, p.sub)', rules, { ...plain, entities });
      expect([set.candidates('subject', 'user'), set.rolesLeftOut('subject', 'user')]).toEqual([['ann', 'editor'], 0]);
    });

    it('by what a template reads it back to', () => {
      const manifest = { request: { sub: '${subject.type}:${subject.id}' } };
      const typed =
        'p, user:lead, x, read\np, editor, x, read\ng, user:ann, user:lead\ng, user:lead, editor\ng, group:ops, editor';
      const left = (entities: string) => {
        const set = sets('g(r.sub, p.sub)', typed, { manifest, entities });
        return [set.candidates('subject', 'user'), set.rolesLeftOut('subject', 'user')];
      };
      expect(left('- { type: group, id: lead }')).toEqual([['ann'], 1]);
      expect(left('- { type: user, id: lead }')).toEqual([['ann', 'lead'], 0]);
    });
  });

  it('tries a constant that reads back through the template, and no other', () => {
    const set = compilePolicySet({
      ...rbac,
      manifest: { request: { obj: '/${resource.type}/${resource.id}' } },
      rules: [
        'p, ann, /doc/a, read',
        'p, ann, /doc/a/b, read',
        'p, ann, /doc/, read',
        'p, ann, /doc/a//b, read',
        'p, ann, /doc/../b, read',
        'p, ann, doc/c, read',
        'p, ann, /note/d, read',
      ].join('\n'),
      entities: '[]',
    });
    expect(set.candidates('resource', 'doc')).toEqual(['a', 'a/b']);
    const ends = compilePolicySet({
      ...rbac,
      manifest: { request: { obj: '${resource.id}@x' } },
      rules: 'p, ann, a@x, read\np, ann, a@x@x, read\np, ann, a@y, read',
      entities: '[]',
    });
    expect(ends.candidates('resource', 'doc')).toEqual(['a', 'a@x']);
  });

  describe('a candidate is not allowed', () => {
    const query = {
      kind: 'resource',
      type: 'doc',
      subject: { type: 'user', id: 'ann' },
      action: { name: 'read' },
    } as const;
    const all = {
      model: (rbac.model as string).replace(/m = .*/, 'm = r.act == p.act && r.obj == p.obj'),
      manifest: {},
      rules: 'p, x, a, read\np, x, b, read',
    };

    it('that is unknown where the manifest wants it known', () => {
      const entities = '- { type: doc, id: a }';
      expect(search({ ...rbac, ...all, entities }, query).results).toEqual(['a', 'b']);
      const manifest = { entities: { unknown: 'deny' } };
      expect(search({ ...rbac, ...all, entities, manifest }, query).results).toEqual(['a']);
    });

    it.each([
      ['deny', ['a']],
      ['reject', ['a']],
      ['warn', ['a', 'b']],
      ['ignore', ['a', 'b']],
    ])('that does not fit the schema, requests being told to %s', (requests, results) => {
      const entities = '- { type: doc, id: a, attributes: { n: 1 } }\n- { type: doc, id: b }';
      const schema = 'resource: { doc: { required: [n], properties: { n: { type: integer } } } }';
      expect(search({ ...rbac, ...all, entities, schema, manifest: { schema: { requests } } }, query).results).toEqual(
        results,
      );
    });
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
    expect(first).toEqual({
      rolesLeftOut: 2,
      results: ['alice'],
      examined: 1,
      complete: false,
      next: 'alice',
      narrowed: true,
    });
    const second = search(rbac, query, { limit: 1, after: 'alice' });
    expect(second).toEqual({
      rolesLeftOut: 2,
      results: ['bob'],
      examined: 1,
      complete: false,
      next: 'bob',
      narrowed: true,
    });
    expect(search(rbac, query, { limit: 2, after: 'bob' })).toEqual({
      rolesLeftOut: 2,
      results: ['root'],
      examined: 1,
      complete: true,
      narrowed: true,
    });
    expect(search(rbac, query, { maxExamined: 2 })).toMatchObject({
      results: ['alice', 'bob'],
      complete: false,
      next: 'bob',
    });
    expect(search(rbac, query, { limit: 0 })).toEqual({
      rolesLeftOut: 2,
      results: [],
      examined: 0,
      complete: false,
      narrowed: true,
    });
  });

  it('does not take patterns for names', () => {
    const paths: CompileOptions = {
      model: rbac.model.toString().replace(/m = .*/, 'm = r.sub == p.sub && keyMatch2(r.obj, p.obj)'),
      rules: 'p, alice, /docs/:id, read\np, alice, /docs/new, read',
    };
    expect(compilePolicySet(paths).candidates('resource', 'path')).toEqual(['/docs/new']);
  });

  it('takes words of a regular expression for names, and not a text that means everybody', () => {
    const words: CompileOptions = {
      model: rbac.model
        .toString()
        .replace(/m = .*/, 'm = (p.sub == "*" || g(r.sub, p.sub)) && r.obj == p.obj && regexMatch(r.act, p.act)'),
      rules: 'p, *, report, ^(GET|HEAD)$\np, ann, report, (PUT)|(POST)\np, ann, report, DEL.*',
    };
    const set = compilePolicySet(words);
    expect(set.candidates('action')).toEqual(['GET', 'HEAD', 'POST', 'PUT']);
    expect(set.candidates('subject', 'user')).toEqual(['ann']);
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

describe('a search by the rules, read backwards', () => {
  const modelOf = (matcher: string, { effect = 'some(where (p.eft == allow))', roles = '_, _', columns = '' } = {}) =>
    `[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act${columns}
[role_definition]
g = ${roles}
[policy_effect]
e = ${effect}
[matchers]
m = ${matcher}
`;
  const usual = 'g(r.sub, p.sub) && r.dom == p.dom && r.obj == p.obj && r.act == p.act';
  const inDomain = usual.replace('p.sub)', 'p.sub, r.dom)');
  const everybody = ['amy', 'ben', 'cleo', 'dan'].map((id) => `{ type: user, id: ${id} }`).join(', ');
  const ask = (model: string, rules: string, more: Partial<CompileOptions> = {}, changed: object = {}) => {
    const query = {
      type: 'user',
      action: { name: 'read' },
      resource: { type: 'doc', id: '1' },
      attributes: { tenant: 'acme' },
      ...changed,
    };
    const { results, examined, narrowed } = compilePolicySet({
      model,
      rules,
      entities: `[${everybody}]`,
      ...more,
    }).whoCan(query, { now });
    return { results, examined, narrowed };
  };

  it('decides those alone who hold a role that a rule names', () => {
    const rules = 'p, reader, acme, 1, read\np, writer, acme, 1, write\ng, amy, lead\ng, lead, reader\ng, ben, writer';
    expect(ask(modelOf(usual), rules)).toEqual({ results: ['amy'], examined: 1, narrowed: true });
    expect(ask(modelOf(usual), rules, {}, { action: { name: 'burn' } })).toMatchObject({ results: [], examined: 0 });
  });

  it('reaches as far down as roles reach up: ten links', () => {
    const chain = (length: number) =>
      Array.from({ length }, (_, link) => `g, ${link === 0 ? 'amy' : `n${link}`}, n${link + 1}`).join('\n');
    expect(ask(modelOf(usual), `p, n10, acme, 1, read\n${chain(10)}`)).toMatchObject({ results: ['amy'], examined: 1 });
    expect(ask(modelOf(usual), `p, n11, acme, 1, read\n${chain(11)}`)).toMatchObject({ results: [], examined: 0 });
    // A shorter way to the same name counts, whichever is found first.
    const twoWays = `p, n11, acme, 1, read\np, n5, acme, 1, read\n${chain(11)}`;
    expect(ask(modelOf(usual), twoWays)).toMatchObject({ results: ['amy'], examined: 1 });
  });

  it('follows links of the domain asked for, and of the patterns that it matches', () => {
    const rules = 'p, reader, acme, 1, read\ng, amy, reader, acme\ng, ben, reader, other\ng, cleo, reader, ac*';
    const model = modelOf(inDomain, { roles: '_, _, _' });
    expect(ask(model, rules)).toMatchObject({ results: ['amy'], examined: 1 });
    const roleMatching = { g: { domains: 'keyMatch' } };
    expect(ask(model, rules, { roleMatching })).toMatchObject({ results: ['amy', 'cleo'], examined: 2 });
  });

  it('looks past further columns of a link', () => {
    expect(ask(modelOf(usual), 'p, reader, acme, 1, read\ng, amy, reader, since 2020')).toMatchObject({
      results: ['amy'],
      examined: 1,
    });
  });

  it('takes a role that only the matcher names', () => {
    const model = modelOf('(p.sub == "x" || g(r.sub, "staff")) && r.obj == p.obj && r.act == p.act');
    expect(ask(model, 'p, y, acme, 1, read\ng, amy, staff')).toMatchObject({ results: ['amy'], examined: 1 });
    expect(ask(model, 'p, x, acme, 1, read\ng, amy, staff').results).toEqual(['amy', 'ben', 'cleo', 'dan']);
    // In no link it is a name like any other, and a name is its own role.
    expect(ask(model, 'p, y, acme, 1, read')).toMatchObject({ results: ['staff'], examined: 1 });
  });

  it('decides everybody where roles match by pattern, where a condition asks, or where nothing is needed for an allow', () => {
    const all = { examined: 4, narrowed: false };
    const rules = 'p, reader, acme, 1, read\ng, amy, reader';
    expect(ask(modelOf(usual), rules, { roleMatching: { g: 'keyMatch' } })).toEqual({ ...all, results: ['amy'] });
    const attribute = usual.replace('g(r.sub, p.sub)', 'r.sub.id == "ben"');
    expect(ask(modelOf(attribute), 'p, , acme, 1, read')).toEqual({ ...all, results: ['ben'] });
    const effect = '!some(where (p.eft == deny))';
    const deny = ask(modelOf(usual, { effect, columns: ', eft' }), 'p, reader, acme, 1, read, deny\ng, amy, reader');
    expect(deny).toEqual({ ...all, results: ['ben', 'cleo', 'dan'] });
  });

  it('decides nobody for rules that deny', () => {
    const model = modelOf(usual, { columns: ', eft' });
    expect(ask(model, 'p, amy, acme, 1, read, deny\np, ben, acme, 1, read, allow')).toEqual({
      results: ['ben'],
      examined: 1,
      narrowed: true,
    });
  });

  it('knows that links which hold for a time come and go', () => {
    const model = modelOf(`${usual} && g(r.obj, p.obj)`.replace('r.obj == p.obj && ', ''), { roles: '_, _, (_, _)' });
    const set = compilePolicySet({
      model,
      rules: 'p, amy, acme, folder, read\ng, 1, folder, 2026-01-01 00:00:00, 2026-02-01 00:00:00',
    });
    const query = {
      action: { name: 'read' },
      resource: { id: '1' },
      attributes: { tenant: 'acme' },
    };
    const at = (time: string) => set.whoCan(query, { now: Date.parse(time) }).results;
    expect(at('2026-03-01T00:00:00Z')).toEqual([]);
    expect(at('2026-01-15T00:00:00Z')).toEqual(['amy']);
  });

  it('finds resources by paths and their beginnings', () => {
    const paths = (match: string, pattern: string, obj: string, ids = ['/a', '/a/1', '/a/1?x=2', '/b/1']) => {
      const set = compilePolicySet({
        model: modelOf(usual.replace('r.obj == p.obj', `${match}(r.obj, p.obj)`)),
        rules: `p, amy, acme, ${pattern}, read`,
        manifest: { request: { obj } },
        entities: ids.map((id) => ({ type: 'doc', id })),
      });
      const subject = { id: 'amy' };
      const query = { subject, action: { name: 'read' }, type: 'doc', attributes: { tenant: 'acme' } };
      const { results, examined } = set.whatCan(query, { now });
      return { results, examined };
    };
    expect(paths('keyMatch2', '/a/:id', 'resource.id')).toEqual({ results: ['/a/1', '/a/1?x=2'], examined: 2 });
    expect(paths('keyMatch5', '/a/1', 'resource.id')).toEqual({ results: ['/a/1', '/a/1?x=2'], examined: 2 });
    const ids = ['a', 'a/1', 'a/1?x=2', 'b/1', 'a/../b', '/a/1'];
    expect(paths('keyMatch', '/doc/a/*', '/${resource.type}/${resource.id}', ids).results).toEqual(['a/1', 'a/1?x=2']);
    expect(paths('keyMatch', 'a/*', '${resource.id}/x', ids).results).toEqual(['a', 'a/1', 'a/1?x=2']);
    expect(paths('keyMatch2', '/a/1', 'resource.id')).toEqual({ results: ['/a/1'], examined: 1 });
  });

  it('finds the actions that a subject may do with a resource', () => {
    const set = compilePolicySet({
      model: modelOf(usual),
      rules: 'p, reader, acme, 1, read\np, amy, acme, 1, sign\np, amy, acme, 2, burn\ng, amy, reader',
    });
    const query = { subject: { id: 'amy' }, resource: { id: '1' }, attributes: { tenant: 'acme' } };
    expect(set.whatCan(query, { now })).toEqual({
      results: ['read', 'sign'],
      examined: 2,
      complete: true,
      narrowed: true,
    });
  });

  it('decides everybody where more hold a role than it goes through, be most of them of another type', () => {
    const services = Array.from({ length: 300 }, (_, id) => `g, service:${id}, reader`).join('\n');
    const manifest = { request: { sub: '${subject.type}:${subject.id}' } };
    const rules = `p, reader, acme, 1, read\n${services}\ng, user:amy, reader`;
    expect(ask(modelOf(usual), rules, { manifest })).toMatchObject({ results: ['amy'], narrowed: false });
  });

  it('looks into a list that comes with the request', () => {
    const model = modelOf('r.sub in (r.team, p.sub) && r.obj == p.obj').replace('obj, act\n[', 'obj, act, team\n[');
    const changed = { attributes: { tenant: 'acme', team: ['amy', 'ben'] } };
    expect(ask(model, 'p, cleo, acme, 1, read', {}, changed)).toEqual({
      results: ['amy', 'ben', 'cleo'],
      examined: 3,
      narrowed: true,
    });
  });

  it('keeps a missing attribute apart from one that is null', () => {
    const model = modelOf(usual).replace('dom, obj', 'level, obj').replace('r.dom == p.dom', 'r.level == r.level');
    const set = compilePolicySet({ model, rules: 'p, amy, acme, 1, read' });
    const find = (attributes: JsonObject) =>
      set.whoCan({ action: { name: 'read' }, resource: { id: '1' }, attributes }, { now }).results;
    expect(find({})).toEqual([]);
    expect(find({ level: null })).toEqual(['amy']);
  });

  it('ends where it is told to, and goes on from there', () => {
    const rules = Array.from({ length: 200 }, (_, n) => `p, u${1000 + n}, acme, 1, read`).join('\n');
    const set = compilePolicySet({ model: modelOf(usual), rules });
    const query = { action: { name: 'read' }, resource: { id: '1' }, attributes: { tenant: 'acme' } };
    const first = set.whoCan(query, { now, mustStop: () => true });
    expect(first).toMatchObject({ complete: false, next: first.results.at(-1) });
    expect(first.examined).toBeLessThan(200);
    const rest = set.whoCan(query, { now, after: first.next as string });
    expect(rest.complete).toBe(true);
    expect([...first.results, ...rest.results]).toHaveLength(200);
  });
});
