import { describe, expect, it } from 'vitest';
import { type CompileOptions, compilePolicySet, type DecisionRequestInput } from '../../src/engine.js';

const now = Date.parse('2026-03-02T09:00:00Z');

function explain(options: CompileOptions, request: DecisionRequestInput) {
  const decision = compilePolicySet(options).decide(request, { now, explain: 'full' });
  if (decision.explanation === undefined) throw new Error('no explanation');
  return { decision: decision.decision, ...decision.explanation };
}

const rbac = {
  model: `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, eft
[role_definition]
g = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act
`,
  rules: `p, editor, article, write, allow
p, reader, article, read, allow
p, intern, article, publish, deny
p, team-lead, article, publish, allow
g, alice, team-lead
g, team-lead, editor
g, editor, reader
g, ida, intern
`,
};

describe('a full explanation', () => {
  it('names every matching rule with the roles that led to it', () => {
    const { matching, summary, nearMisses, changes } = explain(rbac, {
      subject: 'alice',
      action: 'read',
      resource: 'article',
    });
    expect(matching).toEqual([
      {
        rule: ['p', 'reader', 'article', 'read', 'allow'],
        effect: 'allow',
        file: 'policy.csv',
        line: 2,
        roles: [{ definition: 'g', path: ['alice', 'team-lead', 'editor', 'reader'] }],
      },
    ]);
    expect(summary).toBe('allowed by policy.csv:2 (p, reader, article, read, allow)');
    expect({ nearMisses, changes }).toEqual({ nearMisses: [], changes: [] });
  });

  it('tells a person what was missing, and the smallest changes that would allow', () => {
    const { summary, nearMisses, changes } = explain(rbac, { subject: 'bob', action: 'read', resource: 'article' });
    expect(summary).toBe(
      'denied: no rule matches. The nearest is policy.csv:2 (p, reader, article, read, allow): "bob" does not have role "reader"',
    );
    expect(nearMisses[0]?.failed).toEqual([
      {
        term: 'g(r.sub, p.sub)',
        operands: [
          { text: 'r.sub', value: 'bob' },
          { text: 'p.sub', value: 'reader' },
        ],
        message: '"bob" does not have role "reader"',
      },
    ]);
    expect(changes).toEqual([
      expect.objectContaining({ line: 2, changes: [{ kind: 'role', definition: 'g', name: 'bob', role: 'reader' }] }),
    ]);
  });

  it('offers no change that a deny overrides', () => {
    // The rule that lacks least is the one for team leads; with it, the deny for interns would still hold.
    const { decision, matching, nearMisses, changes } = explain(rbac, {
      subject: 'ida',
      action: 'publish',
      resource: 'article',
    });
    expect(decision).toBe('deny');
    expect(matching.map(({ line }) => line)).toEqual([3]);
    expect(nearMisses[0]).toMatchObject({ line: 4, failed: [{ message: '"ida" does not have role "team-lead"' }] });
    expect(changes.map(({ changes: [change] }) => change)).toEqual([
      { kind: 'request', path: '/action/name', from: 'publish', to: 'write' },
      { kind: 'request', path: '/action/name', from: 'publish', to: 'read' },
    ]);
  });

  it('offers no role through which a denial would be inherited', () => {
    const rules = `${rbac.rules}p, guest, article, write, deny\ng, editor, guest\n`;
    const { changes } = explain({ ...rbac, rules }, { subject: 'ida', action: 'write', resource: 'article' });
    expect(changes.flatMap((change) => change.changes)).not.toContainEqual(
      expect.objectContaining({ kind: 'role', role: 'editor' }),
    );
  });

  it('offers at most three changes, those of the fewest terms', () => {
    const { changes } = explain(rbac, { subject: 'alice', action: 'delete', resource: 'article' });
    expect(changes.map(({ changes: [change] }) => change)).toEqual([
      { kind: 'request', path: '/action/name', from: 'delete', to: 'write' },
      { kind: 'request', path: '/action/name', from: 'delete', to: 'read' },
      { kind: 'request', path: '/action/name', from: 'delete', to: 'publish' },
    ]);
  });
});

describe('an explanation of a matcher with alternatives', () => {
  const alternatives = {
    model: rbac.model.replace(
      /m = .*/,
      'm = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act || r.sub == "root" && r.act == "read"',
    ),
    rules: rbac.rules,
  };

  it('shows the terms of the alternative that is nearest, not the whole matcher', () => {
    const { nearMisses, changes } = explain(alternatives, { subject: 'bob', action: 'read', resource: 'article' });
    expect(nearMisses[0]).toMatchObject({
      line: 1,
      failed: [{ term: 'r.sub == "root"', message: 'r.sub is "bob", not "root"' }],
    });
    const roles = nearMisses.map(({ failed }) => failed.map(({ term }) => term));
    expect(roles.flat()).not.toContainEqual(expect.stringContaining('||'));
    expect(changes.length).toBeGreaterThan(0);
  });

  it('stops at an alternative that errs, behind which no other is asked', () => {
    const model = alternatives.model.replace(
      /m = .*/,
      'm = r.sub.level > 3 && r.obj == p.obj || r.sub == "root" && r.act == p.act',
    );
    const { nearMisses } = explain(
      { ...alternatives, model },
      { subject: 'bob', action: 'write', resource: 'article' },
    );
    expect(nearMisses[0]?.failed).toMatchObject([{ term: 'r.sub.level > 3', message: 'r.sub.level is missing' }]);
  });
});

describe('an explanation of conditions', () => {
  const abac = {
    model: `[request_definition]
r = sub, obj, act
[policy_definition]
p = obj, act, cond
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.obj == p.obj && r.act == p.act && eval(p.cond)
`,
    rules: 'p, doc:1, read, "r.sub.department == r.obj.department && r.sub.level >= 3"\n',
    manifest: { request: { obj: '${resource.type}:${resource.id}' } },
  };
  const resource = { type: 'doc', id: '1', attributes: { department: 'sales' } };

  it('looks into the condition that failed', () => {
    const subject = { id: 'a', attributes: { department: 'sales', level: 2 } };
    const { nearMisses, changes } = explain(abac, { subject, action: 'read', resource });
    expect(nearMisses[0]?.failed).toEqual([
      {
        term: 'r.sub.level >= 3',
        operands: [{ text: 'r.sub.level', value: 2 }],
        message: 'r.sub.level >= 3 does not hold: r.sub.level is 2',
      },
    ]);
    expect(changes[0]?.changes).toEqual([{ kind: 'request', path: '/subject/attributes/level', from: 2, to: 3 }]);
  });

  it('finds what is missing, and changes several things where it must', () => {
    const { nearMisses, changes } = explain(abac, { subject: 'a', action: 'read', resource });
    expect(nearMisses[0]?.failed.map(({ message }) => message)).toEqual([
      'r.sub.department is missing',
      'r.sub.level is missing',
    ]);
    expect(changes[0]?.changes).toEqual([
      { kind: 'request', path: '/subject/attributes/department', to: 'sales' },
      { kind: 'request', path: '/subject/attributes/level', to: 3 },
    ]);
  });

  it('reads a value back through the template that binds it', () => {
    const subject = { id: 'a', attributes: { department: 'sales', level: 3 } };
    const other = { type: 'note', id: '7', attributes: { department: 'sales' } };
    expect(explain(abac, { subject, action: 'read', resource: other }).changes[0]?.changes).toEqual([
      { kind: 'request', path: '/resource/type', from: 'note', to: 'doc' },
      { kind: 'request', path: '/resource/id', from: '7', to: '1' },
    ]);
  });

  it('is bounded in size', () => {
    const rules = Array.from({ length: 20_000 }, (_, index) => `p, doc:${index}, read, true`).join('\n');
    const answer = explain({ ...abac, rules }, { subject: 'a', action: 'write', resource });
    expect(answer.complete).toBe(false);
    expect(answer.nearMisses).toHaveLength(5);
    expect(answer.changes.length).toBeLessThanOrEqual(3);
  });
});
