import { describe, expect, it } from 'vitest';
import { findCycle } from '../../src/core/roles/role-cycles.js';
import { RoleGraph, type RoleLink } from '../../src/core/roles/roles.js';
import type { NameMatching } from '../../src/core/rules/pattern-index.js';
import { finish } from '../../src/core/steps.js';

const now = 0;
const links = (text: string): RoleLink[] =>
  text.split(' ').map((link) => {
    const [child = '', parent = '', domain = ''] = link.split('>');
    return { child, parent, domain };
  });
const chain = (length: number) => Array.from({ length }, (_, index) => `n${index}>n${index + 1}`).join(' ');
const prefix: NameMatching = {
  matches: (name, pattern) => name === pattern || (pattern.endsWith('*') && name.startsWith(pattern.slice(0, -1))),
  isPattern: (name) => name.endsWith('*'),
};

describe('a role graph', () => {
  it('finds roles over ten links, not over eleven', () => {
    const graph = new RoleGraph(links(chain(12)), { hasDomain: false });
    expect(graph.reaches('n0', 'n10', undefined, now)).toBe(true);
    expect(graph.reaches('n0', 'n11', undefined, now)).toBe(false);
    expect(graph.pathTo('n0', 'n10', undefined, now)).toHaveLength(11);
    expect(graph.pathTo('n0', 'n11', undefined, now)).toBeUndefined();
    expect([...(graph.rolesAbove('n1', undefined)?.names ?? [])]).toEqual(
      Array.from({ length: 10 }, (_, index) => `n${index + 2}`),
    );
  });

  it('says the way, one of the shortest', () => {
    const graph = new RoleGraph(links('a>b b>c a>x x>y y>c'), { hasDomain: false });
    expect(graph.pathTo('a', 'c', undefined, now)).toEqual(['a', 'b', 'c']);
    expect(graph.pathTo('a', 'a', undefined, now)).toEqual(['a']);
    expect(graph.pathTo('stranger', 'c', undefined, now)).toBeUndefined();
  });

  it('shares what is above between those who have the same parents', () => {
    const graph = new RoleGraph(links('a>lead b>lead c>lead c>other d>lead d>other lead>top'), { hasDomain: false });
    expect(graph.rolesAbove('a', undefined)).toBe(graph.rolesAbove('b', undefined));
    expect(graph.rolesAbove('c', undefined)).toBe(graph.rolesAbove('d', undefined));
    expect(graph.rolesAbove('a', undefined)).not.toBe(graph.rolesAbove('c', undefined));
    expect([...(graph.rolesAbove('c', undefined)?.names ?? [])].sort()).toEqual(['lead', 'other', 'top']);
    expect([...(graph.rolesAbove('stranger', undefined)?.names ?? [])]).toEqual([]);
  });

  it('remembers so many sets of roles and no more, and answers the same with what it forgot', () => {
    const many = 45_000;
    const graph = new RoleGraph(
      Array.from({ length: many }, (_, n) => ({ child: `user${n}`, parent: `role${n}`, domain: '' })),
      { hasDomain: false },
    );
    const first = graph.rolesAbove('user0', undefined);
    expect(graph.rolesAbove('user0', undefined)).toBe(first);
    for (let n = 0; n < many; n++) {
      const above = graph.rolesAbove(`user${n}`, undefined);
      if (above?.names.size !== 1 || !above.names.has(`role${n}`)) throw new Error(`user${n} has other roles`);
    }
    expect(graph.rolesAbove('user0', undefined)).not.toBe(first);
    expect(graph.rolesAbove('user0', undefined)).toEqual(first);
  });

  it('keeps domains apart, and knows the one without a name', () => {
    const graph = new RoleGraph(links('a>admin>acme b>admin c>admin>*'), { hasDomain: true });
    expect(graph.reaches('a', 'admin', 'acme', now)).toBe(true);
    expect(graph.reaches('a', 'admin', 'other', now)).toBe(false);
    expect(graph.reaches('a', 'admin', undefined, now)).toBe(false);
    expect(graph.reaches('b', 'admin', undefined, now)).toBe(true);
    expect(graph.reaches('c', 'admin', 'acme', now)).toBe(false);
    expect(graph.pathTo('a', 'admin', 'nowhere', now)).toBeUndefined();
  });

  it('joins the links of all domains that match', () => {
    const graph = new RoleGraph(links('a>editor>* editor>admin>acme'), { hasDomain: true, domainMatching: prefix });
    expect(graph.reaches('a', 'admin', 'acme', now)).toBe(true);
    expect(graph.reaches('a', 'editor', 'other', now)).toBe(true);
    expect(graph.reaches('a', 'admin', 'other', now)).toBe(false);
    expect([...(graph.rolesAbove('a', 'acme')?.names ?? [])]).toEqual(['editor', 'admin']);
  });

  it('steps over patterns in both directions', () => {
    const graph = new RoleGraph(links('user-*>staff boss>team-* team-red>secret'), {
      hasDomain: false,
      nameMatching: prefix,
    });
    expect(graph.reaches('user-7', 'staff', undefined, now)).toBe(true);
    expect(graph.reaches('guest', 'staff', undefined, now)).toBe(false);
    expect(graph.reaches('boss', 'secret', undefined, now)).toBe(true);
    expect(graph.reaches('user-7', 'user-*', undefined, now)).toBe(true);
    expect(graph.pathTo('user-7', 'user-*', undefined, now)).toEqual(['user-7', 'user-*']);
    expect(graph.pathTo('boss', 'secret', undefined, now)).toEqual(['boss', 'team-red', 'secret']);
    expect(graph.rolesAbove('user-7', undefined)).toBeUndefined();
    expect(graph.isListable).toBe(false);
  });

  it('asks conditional links each time', () => {
    const until = (end: number) => (time: number) => time < end;
    const graph = new RoleGraph(
      [
        { child: 'a', parent: 'b', domain: '', holds: until(10) },
        { child: 'b', parent: 'c', domain: '', holds: until(5) },
      ],
      { hasDomain: false },
    );
    expect(graph.reaches('a', 'c', undefined, 4)).toBe(true);
    expect(graph.reaches('a', 'c', undefined, 6)).toBe(false);
    expect(graph.reaches('a', 'b', undefined, 6)).toBe(true);
    expect(graph.reaches('a', 'b', undefined, 10)).toBe(false);
    expect(graph.isListable).toBe(false);
    expect(graph.rolesAbove('a', undefined)).toBeUndefined();
    expect(new RoleGraph(links('a>b'), { hasDomain: false }).isListable).toBe(true);
  });
});

describe('whether a file has a link', () => {
  const parents = Array.from({ length: 1_000 }, (_, at) => `role${(at * 7) % 1_000}`);
  const wide = () =>
    new RoleGraph(links(`x>y>d x>z>d ${parents.map((parent) => `a>${parent}>d`).join(' ')}`), { hasDomain: true });

  it('is known of names with few roles and with many', () => {
    const graph = wide();
    const asked = [
      ['x', 'y', 'd'],
      ['x', 'y', ''],
      ['x', 'role1', 'd'],
      ['y', 'x', 'd'],
      ['a', 'role999', 'd'],
      ['a', 'role0', 'd'],
      ['a', 'role1000', 'd'],
      ['a', 'role1', ''],
    ] as const;
    expect(asked.filter(([child, parent, domain]) => graph.isInFiles(domain, child, parent))).toEqual([
      ['x', 'y', 'd'],
      ['a', 'role999', 'd'],
      ['a', 'role0', 'd'],
    ]);
  });

  it('is not looked up among all roles of a name for each question', () => {
    const graph = wide();
    let looks = 0;
    const seen = new Set<unknown>();
    const count = (value: unknown): void => {
      if (typeof value !== 'object' || value === null || seen.has(value)) return;
      seen.add(value);
      if (value instanceof Map) for (const member of value.values()) count(member);
      for (const member of Object.values(value)) count(member);
      const { parent } = value as { parent?: unknown };
      if (typeof parent !== 'string') return;
      const get = () => {
        looks++;
        return parent;
      };
      Object.defineProperty(value, 'parent', { get });
    };
    count(graph);
    for (const parent of parents) expect(graph.isInFiles('d', 'a', parent)).toBe(true);
    for (const parent of parents) expect(graph.isInFiles('d', 'a', `${parent}.`)).toBe(false);
    expect(looks).toBeGreaterThan(0);
    expect(looks).toBeLessThan(5 * parents.length);
  });
});

describe('a cycle of roles', () => {
  it.each([
    ['a>b b>a', ['a', 'b', 'a']],
    ['x>a a>b b>c c>a', ['a', 'b', 'c', 'a']],
    ['a>a', ['a', 'a']],
    ['a>b a>c b>d c>d', undefined],
    ['a>b b>c c>d e>c', undefined],
    ['a>b a>c c>a', ['a', 'c', 'a']],
  ])('among %s: %j', (text, cycle) => {
    expect(finish(findCycle(links(text)))).toEqual(cycle);
  });
  it('does not need the stack to be as deep as the chain is long', () => {
    expect(finish(findCycle(links(chain(50_000))))).toBeUndefined();
  });
});
