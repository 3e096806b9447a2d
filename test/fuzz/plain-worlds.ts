/** Random policies of the plainest kind, on which every Casbin agrees. */
import fc from 'fast-check';

/** Policies in which names are only compared: no patterns, no conditions, no literals. */
export interface PlainWorld {
  readonly model: string;
  readonly rules: readonly (readonly string[])[];
  readonly asks: readonly string[][];
}

export const plainNames = ['alice', 'bob', 'admin', 'editor', 'data', 'secret', 'read', 'write', ''];

export const plainWorld: fc.Arbitrary<PlainWorld> = fc
  .record({
    effect: fc.constantFrom(
      'some(where (p.eft == allow))',
      '!some(where (p.eft == deny))',
      'some(where (p.eft == allow)) && !some(where (p.eft == deny))',
      'priority(p.eft) || deny',
    ),
    matcher: fc.constantFrom(
      'g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act',
      'r.sub == p.sub && g2(r.obj, p.obj) && r.act == p.act',
      '(g(r.sub, p.sub) || r.sub == p.obj) && !(r.obj != p.obj)',
      'r.act == p.act && r.obj in (p.obj, p.sub) && g(r.sub, p.sub)',
    ),
  })
  .chain(({ effect, matcher }) => {
    const name = fc.constantFrom(...plainNames);
    const ordered = fc
      .tuple(fc.nat(plainNames.length - 1), fc.nat(plainNames.length - 1))
      .filter(([a, b]) => a !== b)
      .map(([a, b]) => [plainNames[Math.min(a, b)]!, plainNames[Math.max(a, b)]!]);
    const rule = fc.tuple(fc.constant('p'), name, name, name, fc.constantFrom('allow', 'deny'));
    const link = fc.tuple(fc.constantFrom('g', 'g2'), ordered).map(([ptype, fields]) => [ptype, ...fields]);
    return fc.record({
      model: fc.constant(`[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, eft
[role_definition]
g = _, _
g2 = _, _
[policy_effect]
e = ${effect}
[matchers]
m = ${matcher}
`),
      rules: fc
        .tuple(fc.array(rule, { minLength: 1, maxLength: 12 }), fc.array(link, { maxLength: 8 }))
        .map(([rules, links]) => [...rules, ...links]),
      asks: fc.array(fc.array(name, { minLength: 3, maxLength: 3 }), { minLength: 20, maxLength: 20 }),
    });
  });

/** As CSV, every field in quotes. */
export function rulesText(rules: readonly (readonly string[])[]): string {
  return rules.map((fields) => fields.map((field) => `"${field.replaceAll('"', '""')}"`).join(',')).join('\n');
}
