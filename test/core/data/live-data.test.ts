import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import v8 from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import type { LinkChange } from '../../../src/core/roles/live-links.js';
import { linksPerStep } from '../../../src/core/steps.js';
import { sha256 } from '../../../src/digest/sha-256.js';
import {
  compilePolicySet,
  type DataChange,
  DataError,
  LiveData,
  PolicyError,
  type PolicySet,
} from '../../../src/engine.js';

const model = `[request_definition]
r = sub, dom, obj, act
[policy_definition]
p = sub, dom, obj, act
[role_definition]
g = _, _
g2 = _, _, _
g3 = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = (g(r.sub, p.sub) || g2(r.sub, p.sub, r.dom)) && r.dom == p.dom && r.obj == p.obj && r.act == p.act
`;
const rules = `p, editor, home, page, edit
g, root, editor
g2, root, editor, home
`;
const manifest = { data: { roles: ['g', 'g2'], entities: ['user'] }, entities: { unknown: { deny: ['user'] } } };
const sources = { model, rules, manifest, entities: [{ type: 'page', id: 'page' }] };
const set = compilePolicySet(sources);

const ask = (of: PolicySet, id: string) =>
  of.decide(
    { subject: { id }, action: 'edit', resource: 'page', attributes: { tenant: 'home' } },
    { now: 0, explain: 'full' },
  );

function problemsOf(change: unknown, of = set): string[] {
  try {
    of.change(change as DataChange);
    return [];
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return error.problems.map(({ pointer, code, message }) => `${pointer} ${code}: ${message}`);
  }
}

function problemsOfLoad(compile: () => PolicySet): string[] {
  try {
    return compile().problems.map(({ code }) => code);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return error.problems.map(({ code, message }) => `${code}: ${message}`);
  }
}

describe('a change of live data', () => {
  it('makes another set and leaves the first as it was', () => {
    const {
      set: changed,
      added,
      removed,
    } = set.change({
      add: {
        roles: [
          ['g', 'ana', 'editor'],
          ['g2', 'bo', 'ana', 'home'],
        ],
        entities: [{ type: 'user', id: 'ana' }],
      },
    });
    expect({ added, removed }).toEqual({ added: 3, removed: 0 });
    expect([ask(set, 'ana').decision, ask(changed, 'ana').decision]).toEqual(['deny', 'allow']);
    expect(ask(changed, 'ana').explanation?.matching[0]?.roles).toEqual([{ definition: 'g', path: ['ana', 'editor'] }]);
    expect(set.size).toEqual({ rules: 1, roleLinks: 2, entities: 1 });
    expect(changed.size).toEqual({ rules: 1, roleLinks: 4, entities: 2 });
    expect(changed.versionOfFiles).toBe(set.version);
    expect([...(changed.data?.roles() ?? [])].sort()).toEqual([
      ['g', 'ana', 'editor'],
      ['g2', 'bo', 'ana', 'home'],
    ]);
    expect([...(changed.data?.entities() ?? [])]).toEqual([{ type: 'user', id: 'ana', attributes: {} }]);
  });

  it('takes away what it gave, and the version with it', () => {
    const roles = [['g', 'ana', 'editor']];
    const entities = [{ type: 'user', id: 'ana' }];
    const { set: given } = set.change({ add: { roles, entities } });
    const { set: back, removed } = given.change({ remove: { roles, entities } });
    expect(removed).toBe(2);
    expect(back.version).toBe(set.version);
    expect(ask(back, 'ana').decision).toBe('deny');
  });

  it('changes nothing where what it adds is there, and what it removes is not', () => {
    const { set: given } = set.change({ add: { roles: [['g', 'ana', 'editor']] } });
    const again = given.change({
      add: { roles: [['g', 'ana', 'editor']] },
      remove: { roles: [['g', 'ben', 'editor']], entities: [{ type: 'user', id: 'ben' }] },
    });
    expect(again).toEqual({ set: given, added: 0, removed: 0 });
    expect(given.change({})).toEqual({ set: given, added: 0, removed: 0 });
  });

  it('removes first: an entity gets other attributes in one change', () => {
    const { set: given } = set.change({ add: { entities: [{ type: 'user', id: 'ana', attributes: { level: 1 } }] } });
    const { set: raised } = given.change({
      remove: { entities: [{ type: 'user', id: 'ana' }] },
      add: { entities: [{ type: 'user', id: 'ana', attributes: { level: 2 } }] },
    });
    expect([...(raised.data?.entities() ?? [])]).toEqual([{ type: 'user', id: 'ana', attributes: { level: 2 } }]);
    // A link that goes and comes stays.
    const roles = [['g', 'ana', 'editor']];
    expect(set.change({ add: { roles }, remove: { roles } }).added).toBe(1);
  });

  it('denies an unknown entity of a live type, also when the last one is removed', () => {
    const user = { type: 'user', id: 'ana' };
    const { set: given } = set.change({ add: { roles: [['g', 'ana', 'editor']], entities: [user] } });
    const { set: gone } = given.change({ remove: { entities: [user] } });
    const question = { subject: user, action: 'edit', resource: 'page', attributes: { tenant: 'home' } };
    expect(given.decide(question, { now: 0 }).decision).toBe('allow');
    expect(gone.decide(question, { now: 0 }).reason.code).toBe('unknown_entity');
  });

  it('is copied: the caller may go on with what it gave', () => {
    const attributes = { tags: ['a'] };
    const { set: given } = set.change({ add: { entities: [{ type: 'user', id: 'ana', attributes }] } });
    attributes.tags.push('b');
    expect([...(given.data?.entities() ?? [])][0]?.attributes).toEqual({ tags: ['a'] });
  });

  it.each<[unknown, string[]]>([
    [[], [' wrong_type: a change must be an object']],
    [{ adds: {} }, ['/adds unknown_key: there is no "adds" here']],
    [{ add: [] }, ['/add wrong_type: "add" must be an object']],
    [{ remove: null }, ['/remove wrong_type: "remove" must be an object']],
    [{ add: { roles: 'g' } }, ['/add/roles wrong_type: "add/roles" must be a list']],
    [{ add: { roles: 7 } }, ['/add/roles wrong_type: "add/roles" must be a list']],
    [{ add: { roles: ['g'] } }, ['/add/roles/0 wrong_type: a link must be a list such as ["g", "ana", "editor"]']],
    [{ add: { roles: [['g', 1, 'editor']] } }, ['/add/roles/0/1 wrong_type: each column of a link must be a text']],
    [{ add: { roles: [['h', 'a', 'b']] } }, ['/add/roles/0/0 unknown_definition: the model defines no "h"']],
    [{ add: { roles: [[]] } }, ['/add/roles/0/0 unknown_definition: the model defines no ""']],
    [
      { add: { roles: [['g3', 'a', 'b']] } },
      [
        '/add/roles/0/0 not_live_data: the links of g3 are no live data: data.roles in policy-set.yaml does not name it',
      ],
    ],
    [
      { add: { roles: [['g', 'a']] }, remove: { roles: [['g2', 'a', 'b']] } },
      [
        '/remove/roles/0 wrong_field_count: a link of g2 is ["g2", name, role, domain], not 3 texts',
        '/add/roles/0 wrong_field_count: a link of g is ["g", name, role], not 2 texts',
      ],
    ],
    [
      { add: { roles: [['g', 'a\u0007', 'b']] } },
      ['/add/roles/0/1 control_character: the name holds a control character'],
    ],
    [
      {
        remove: {
          roles: [
            ['g', 'root', 'editor'],
            ['g2', 'root', 'editor', 'home'],
          ],
        },
      },
      [
        '/remove/roles/0 defined_in_files: a file has the link g "root" -> "editor"',
        '/remove/roles/1 defined_in_files: a file has the link g2 "root" -> "editor" in "home"',
      ],
    ],
    [
      { remove: { entities: [{ type: 'page', id: 'page' }] } },
      ['/remove/entities/0 defined_in_files: a file has the page "page"'],
    ],
    [
      { add: { entities: [{ type: 'page', id: 'new' }] } },
      [
        '/add/entities/0/type not_live_data: a page is no live data: data.entities in policy-set.yaml does not name the type',
      ],
    ],
    [
      {
        add: {
          entities: [
            { id: 'new', kind: 1 },
            { type: 'user', id: 7 },
            { type: 'us\u0000', id: 'a' },
          ],
        },
      },
      [
        '/add/entities/0/kind unknown_key: there is no "kind" here',
        '/add/entities/0 missing_value: an entity needs its type',
        '/add/entities/1/id wrong_type: the id must be a text',
        '/add/entities/2/type control_character: the type holds a control character',
      ],
    ],
    [
      { add: { entities: [{ type: 'user', id: 'a', attributes: [] }] } },
      ['/add/entities/0/attributes wrong_type: the attributes must be an object'],
    ],
    [
      { add: { entities: [{ type: 'user', id: 'a', attributes: { n: Number.NaN } }] } },
      ['/add/entities/0/attributes/n unsafe_number: no double holds the number exactly'],
    ],
    [
      { add: { entities: [{ type: 'user', id: 'a', attributes: { f: () => 1 } }] } },
      ['/add/entities/0/attributes wrong_type: attributes are values of JSON, nested in 100 levels at most'],
    ],
    [
      {
        add: {
          entities: [
            { type: 'user', id: 'a' },
            { type: 'user', id: 'a', attributes: { b: 1 } },
          ],
        },
      },
      ['/add/entities/1 conflict: there is a user "a" already, with other attributes'],
    ],
    [
      {
        add: {
          roles: [
            ['g', 'x', 'y'],
            ['g', 'y', 'z'],
            ['g', 'z', 'x'],
          ],
        },
      },
      ['/add/roles/0 conflict: the roles of g would have a cycle: "x" -> "y" -> "z" -> "x"'],
    ],
    [
      { add: { roles: [['g', 'editor', 'root']] } },
      ['/add/roles/0 conflict: the roles of g would have a cycle: "editor" -> "root" -> "editor"'],
    ],
    [{ add: { roles: [['g', 'x', 'x']] } }, ['/add/roles/0 conflict: the roles of g would have a cycle: "x" -> "x"']],
    // Within a domain a cycle is a warning in files.
    [
      {
        add: {
          roles: [
            ['g2', 'x', 'y', 'd'],
            ['g2', 'y', 'x', 'd'],
          ],
        },
      },
      [],
    ],
  ])('%j', (change, wanted) => {
    const before = set.version;
    expect(problemsOf(change)).toEqual(wanted);
    expect(set.version).toBe(before);
  });
});

describe('a change of many links', () => {
  const many = Array.from({ length: 3_000 }, (_, at) => ['g', `user${at}`, `role${at % 40}`]);

  it('finds the cycle among them, and only one that is there', () => {
    const chain = Array.from({ length: 39 }, (_, at) => ['g', `role${at}`, `role${at + 1}`]);
    expect(set.change({ add: { roles: [...many, ...chain] } }).added).toBe(3_039);
    const [problem] = problemsOf({ add: { roles: [...chain, ...many, ['g', 'role39', 'role7']] } });
    expect(problem).toContain('conflict: the roles of g would have a cycle: "role7" -> "role8"');
    // Over a link of the file, and over one that was live before.
    expect(problemsOf({ add: { roles: [...many, ['g', 'editor', 'root']] } })).toHaveLength(1);
    const { set: given } = set.change({ add: { roles: [['g', 'role3', 'role2']] } });
    expect(problemsOf({ add: { roles: [...many, ['g', 'role2', 'role3']] } }, given)).toHaveLength(1);
  });

  it('knows a link again among many of one name', () => {
    const roles = Array.from({ length: 100 }, (_, at) => ['g', 'ana', `role${at}`]);
    const { set: given, added } = set.change({ add: { roles: [...roles, ...roles] } });
    expect(added).toBe(100);
    expect(given.change({ remove: { roles: [...roles, ...roles] } })).toMatchObject({ added: 0, removed: 100 });
  });

  it('finds each link of a name that has many, wherever its role stands in order', () => {
    const roles = Array.from({ length: 501 }, (_, at) => ['g', 'ana', `role${(at * 7) % 501}`]);
    const { set: given } = set.change({ add: { roles } });
    for (const role of roles) {
      expect(given.change({ remove: { roles: [role] } })).toMatchObject({ added: 0, removed: 1 });
      expect(given.change({ remove: { roles: [[...role.slice(0, 2), `${role[2]}.`]] } }).removed).toBe(0);
    }
    // In the order of code units, which is not that of code points.
    const names = ['\uFF5E', '\u{1F600}', 'z', '', 'Z', 'ä'];
    const few = names.map((name) => ['g', 'ben', name]);
    const { set: odd } = set.change({ add: { roles: few } });
    for (const role of few) expect(odd.change({ remove: { roles: [role] } }).removed).toBe(1);
  });

  it('does not look at all links of a name for each of the change', () => {
    const named = (prefix: string, length: number) => Array.from({ length }, (_, at) => ['g', 'ana', `${prefix}${at}`]);
    const { set: given } = set.change({ add: { roles: named('role', 10_000) } });
    let looks = 0;
    for (const known of given.data?.linksOf('g')?.in('')?.get('ana')?.parents ?? []) {
      const { parent } = known;
      const get = () => {
        looks++;
        return parent;
      };
      Object.defineProperty(known, 'parent', { get });
    }
    for (const change of [
      { add: { roles: named('new', 1_000) } },
      { remove: { roles: named('role', 1_000) } },
      { remove: { roles: named('new', 1_000) } },
    ]) {
      looks = 0;
      given.change(change);
      expect(looks).toBeGreaterThan(0);
      // Each link is looked for in 10,000 by halves; the new list, cycles and digests take some looks at all.
      expect(looks).toBeLessThan(1_000 * 14 + 10 * 10_000);
    }
  });
});

it('is hashed in steps, also when a change is all about one name, or takes entities away', () => {
  let calls = 0;
  const counting = LiveData.empty((parts) => {
    calls++;
    return sha256(parts);
  });
  const longestStep = (steps: Generator<void, LiveData>): [LiveData, number] => {
    for (let longest = 0; ; ) {
      calls = 0;
      const step = steps.next();
      longest = Math.max(longest, calls);
      if (step.done === true) return [step.value, longest];
    }
  };
  const parents = Array.from({ length: 250 * linksPerStep }, (_, at) => `role${at}`);
  const one = { domain: '', child: 'ana' };
  const links = (changes: readonly LinkChange[]) => new Map([['g', { hasDomain: false, changes }]]);
  const stored = parents.map((id) => ({ type: 'user', id, attributes: {} }));
  const none = { added: [], removed: [] };
  let [data, longest] = longestStep(
    counting.changed({ links: links([{ ...one, added: parents, removed: [] }]), entities: { ...none, added: stored } }),
  );
  expect(data.size).toBe(2 * parents.length);
  expect(longest).toBeLessThanOrEqual(2 * linksPerStep);
  [data, longest] = longestStep(
    data.changed({ links: links([{ ...one, added: [], removed: parents }]), entities: { ...none, removed: stored } }),
  );
  expect(data.size).toBe(0);
  expect(longest).toBeLessThanOrEqual(2 * linksPerStep);
});

it('what was changed since is not kept: questions remember a bounded part of the past', async () => {
  v8.setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const past: WeakRef<object>[] = [];
  let current = compilePolicySet({
    ...sources,
    manifest: { ...manifest, roleMatching: { g2: { domains: 'keyMatch' } } },
  });
  for (let turn = 0; turn < 6_000; turn++) {
    current = current.change({ add: { roles: [['g2', `user${turn}`, 'editor', 'home']] } }).set;
    expect(current.enforce([`user${turn}`, 'home', 'page', 'edit']).decision).toBe('allow');
    past.push(new WeakRef(current.data?.linksOf('g2')?.in('home') as object));
  }
  // What a WeakRef was made of in this turn is kept until its end.
  await nextTurn();
  collectGarbage();
  // Two generations of 2,000 links and views each at most, and the one that serves.
  const kept = past.filter((of) => of.deref() !== undefined).length;
  expect(kept).toBeGreaterThan(0);
  expect(kept).toBeLessThan(4_000);
  expect(current.data?.size).toBe(6_000);
});

describe('what stops a load stops a change', () => {
  const schema = { subject: { user: { properties: { level: { type: 'integer' } } } } };
  const wrong: DataChange = { add: { entities: [{ type: 'user', id: 'ana', attributes: { level: 'x', extra: 1 } }] } };

  it('attributes that break the schema of their type, or that it does not know', () => {
    expect(problemsOf(wrong, compilePolicySet({ ...sources, schema }))).toEqual([
      '/add/entities/0/attributes/level schema_violation: the attribute "level" of user "ana" must be integer',
      '/add/entities/0/attributes/extra unknown_attribute: user "ana" has an attribute "extra" that the schema does not know',
    ]);
  });

  it('but not what the manifest makes a warning of', () => {
    const lint = { schema_violation: 'warn', unknown_attribute: 'warn' };
    const lenient = compilePolicySet({ ...sources, schema, manifest: { ...manifest, lint } });
    expect(problemsOf(wrong, lenient)).toEqual([]);
  });

  it('a tenant that no request can name', () => {
    const change = { add: { entities: [{ type: 'user', id: 'ana', attributes: { tenant: 'a\u0000' } }] } };
    expect(problemsOf(change)).toEqual([
      '/add/entities/0/attributes/tenant control_character: the tenant holds a control character',
    ]);
  });

  it.each([
    ['sod("editor", "auditor")', [['g', 'root', 'auditor']], 'user "root" has both roles "editor" and "auditor"'],
    [
      'sodMax(["editor", "auditor", "clerk"], 1)',
      [
        ['g', 'ana', 'clerk'],
        ['g', 'ana', 'auditor'],
      ],
      'user "ana" has 2 of the roles "editor", "auditor", "clerk", 1 at most are allowed',
    ],
    ['roleMax("editor", 1)', [['g', 'ana', 'editor']], 'role "editor" is given to 2 users, 1 at most may have it'],
    ['rolePre("chief", "editor")', [['g', 'ana', 'chief']], 'user "ana" has role "chief" without role "editor"'],
  ])('the constraint %s', (constraint, roles, message) => {
    const constrained = compilePolicySet({
      ...sources,
      model: `${model}[constraint_definition]\nc = ${constraint}\n`,
    });
    expect(problemsOf({ add: { roles } }, constrained)).toEqual([`/add/roles/0 constraint_violation: c: ${message}`]);
    // Whom the constraint does not concern may have roles, and what a file says already is no second link.
    expect(
      problemsOf(
        {
          add: {
            roles: [
              ['g', 'ben', 'auditor'],
              ['g', 'root', 'editor'],
            ],
          },
        },
        constrained,
      ),
    ).toEqual([]);
    // The same in files stops their load.
    const lines = roles.map((role) => role.join(',')).join('\n');
    const { problems } = compilePolicySet({
      ...sources,
      rules: `${rules}${lines}`,
      model: `${model}[constraint_definition]\nc = ${constraint}\n`,
    });
    expect(problems.map((problem) => problem.message)).toContain(`c: ${message}`);
  });

  it('not on a replica that takes what was checked elsewhere', () => {
    const strict = compilePolicySet({ ...sources, schema });
    expect(strict.change(wrong, { isTrusted: true }).added).toBe(1);
    expect(strict.change({ add: { roles: [['g', 'editor', 'root']] } }, { isTrusted: true }).added).toBe(1);
  });

  it.each([
    ['g = _, _, (_, _)', 'they have conditions'],
    ['g = _, _, _, _', 'they have more columns than a name, its role and a domain'],
  ])('%s cannot be live data', (definition, reason) => {
    const other = model.replace('g = _, _', definition);
    const compile = () =>
      compilePolicySet({ model: other, rules: 'p, a, b, c, d', manifest: { data: { roles: ['g'] } } });
    expect(problemsOfLoad(compile)).toContain(
      `unsupported_live_data: data.roles: the links of g cannot be live data: ${reason}`,
    );
  });

  it('roles that the order of the rules follows from cannot be live data', () => {
    const sorted = model.replace(/e = .*/, 'e = subjectPriority(p.eft) || deny');
    const options = { model: sorted, rules: 'p, a, b, c, d\ng, x, a' };
    expect(problemsOfLoad(() => compilePolicySet({ ...options, manifest: { data: { roles: ['g'] } } }))).toEqual([
      'unsupported_live_data: data.roles: the links of g cannot be live data: the order of the rules follows from them',
    ]);
    expect(compilePolicySet({ ...options, manifest: { data: { roles: ['g2'] } } }).data?.size).toBe(0);
  });

  it('a set whose manifest has no data takes none', () => {
    const plain = compilePolicySet({ model, rules });
    expect(plain.data).toBeUndefined();
    expect(problemsOf({ add: { roles: [['g', 'a', 'b']] } }, plain)).toEqual([
      ' not_live_data: the set has no live data: policy-set.yaml does not say what may be changed under data',
    ]);
  });
});

describe('the version of a set with live data', () => {
  const sha256 = (...parts: (string | Buffer)[]) => {
    const hash = createHash('sha256');
    for (const part of parts) hash.update(part);
    return hash.digest();
  };

  it('is what its definition gives', () => {
    const { set: changed } = set.change({
      add: {
        roles: [
          ['g', 'ana', 'editor'],
          ['g2', 'bo', 'ana', ''],
        ],
        entities: [{ type: 'user', id: 'ø', attributes: { b: [1.5, -0, 1e-7], a: { d: null, c: '\n' } } }],
      },
    });
    const entries = [
      '["role","g","ana","editor"]',
      '["role","g2","bo","ana",""]',
      '["entity","user","ø",{"a":{"c":"\\n","d":null},"b":[1.5,0,1e-7]}]',
    ];
    const digests = entries.map((entry) => sha256(entry)).sort(Buffer.compare);
    const root = sha256(Buffer.of(0), ...digests);
    const files = Buffer.from(set.version.slice('sha256:'.length), 'hex');
    expect(changed.version).toBe(`sha256:${sha256('verdict data 1', files, root).toString('hex')}`);
  });

  it('is that of the files while there is no entry', () => {
    expect(set.version).toBe(set.versionOfFiles);
    expect(compilePolicySet({ ...sources, data: {} }).version).toBe(set.version);
    expect(compilePolicySet({ ...sources, data: { roles: [], entities: [] } }).version).toBe(set.version);
  });
});

describe('live data given with the files', () => {
  const data = {
    roles: [
      ['g', 'ana', 'editor'],
      ['g2', 'bo', 'ana', 'home'],
    ],
    entities: [{ type: 'user', id: 'ana' }],
  };

  it('is the same as given by changes', () => {
    const whole = compilePolicySet({ ...sources, data });
    expect(whole.version).toBe(set.change({ add: data }).set.version);
    expect(ask(whole, 'ana')).toEqual(ask(set.change({ add: data }).set, 'ana'));
  });

  it('can be the data of another set, which both go on sharing', () => {
    const { set: changed } = set.change({ add: data });
    const other = compilePolicySet({ ...sources, rules: `${rules}p, ana, home, page, print\n`, data: changed.data! });
    expect(other.data).toBe(changed.data);
    expect(other.version).toBe(
      compilePolicySet({ ...sources, rules: `${rules}p, ana, home, page, print\n`, data }).version,
    );
    // The roles that one of them remembers of a name are not those of the other.
    const narrowed = compilePolicySet({
      ...sources,
      rules: rules.replace('g, root', 'g, editor, chief\ng, root'),
      data: changed.data!,
    });
    for (const each of [changed, narrowed, changed, other]) {
      expect(ask(each, 'ana').decision).toBe('allow');
    }
    const chief = (of: PolicySet) => of.enforce(['ana', 'home', 'page', 'edit'], { matcher: 'g(r.sub, "chief")' });
    expect([chief(changed), chief(narrowed), chief(changed)].map(({ decision }) => decision)).toEqual([
      'deny',
      'allow',
      'deny',
    ]);
  });

  it('is refused with its places, as a change is', () => {
    const compile = (given: object) => () => compilePolicySet({ ...sources, data: given });
    expect(
      compile({
        roles: [
          ['g', 'ana', 'editor'],
          ['g', 'ana'],
        ],
      }),
    ).toThrow('/roles/1: a link of g is ["g", name, role], not 2 texts');
    expect(compile({ roles: [['g', 'editor', 'root']] })).toThrow('/roles/0: the roles of g would have a cycle');
    expect(() => compilePolicySet({ model, rules, data })).toThrow('the set has no live data');
    expect(compilePolicySet({ model, rules, data: LiveData.empty(() => '') }).data).toBeUndefined();
    const { data: held } = set.change({ add: data }).set;
    expect(() => compilePolicySet({ ...sources, rules: `${rules}g, editor, ana\n`, data: held! })).toThrow(
      'the roles of g would have a cycle',
    );
    const narrower = { data: { roles: ['g'] } };
    expect(() => compilePolicySet({ ...sources, manifest: narrower, data: held! })).toThrow(
      'the links of g2 are no live data',
    );
  });
});

describe('a search', () => {
  it('of who may, where a definition with domains has live links alone, or none', () => {
    const none = compilePolicySet({
      model,
      rules: 'p, editor, home, page, edit',
      manifest: { data: manifest.data },
    });
    const query = { action: { name: 'edit' }, resource: { id: 'page' }, attributes: { tenant: 'home' } };
    const who = (of: PolicySet) => of.whoCan(query, { now: 0 }).results;
    expect(who(none)).toEqual(['editor']);
    const { set: changed } = none.change({
      add: {
        roles: [
          ['g2', 'ana', 'lead', 'home'],
          ['g2', 'lead', 'editor', 'home'],
          ['g2', 'bo', 'editor', 'away'],
        ],
      },
    });
    expect(who(changed)).toEqual(['ana']);
    expect(changed.candidates('subject')).toEqual(['ana', 'bo']);
    expect(changed.rolesLeftOut('subject')).toBe(2);
    expect(who(none)).toEqual(['editor']);
  });
});
