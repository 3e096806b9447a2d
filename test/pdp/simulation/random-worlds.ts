/** Random policy sets, changes of them, and questions, for the comparison of a simulation with deciding one by one. */
import type { DecisionRequest, JsonObject } from '../../../src/core/request.js';
import type { PolicyFile } from '../../../src/policy-store/policy-set-files.js';

export class Random {
  constructor(private state: number) {}

  /** A whole number below `bound`; mulberry32. */
  below(bound: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * bound) | 0;
  }

  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }
}

const effects = [
  'some(where (p.eft == allow))',
  '!some(where (p.eft == deny))',
  'some(where (p.eft == allow)) && !some(where (p.eft == deny))',
  'priority(p.eft) || deny',
];
const matchers = [
  'g(r.sub, p.sub) && keyMatch(r.obj, p.obj) && r.act == p.act && eval(p.cond)',
  'r.sub == p.sub && r.obj == p.obj && (r.act == p.act || p.act == "*") && eval(p.cond)',
  '(g(r.sub, p.sub) || r.sub.level > 3) && r.obj == p.obj && r.act == p.act && eval(p.cond)',
];
const conditions = [
  'true',
  'r.sub.level > 2',
  'r.obj.owner == r.sub.id',
  "has(r.sub.team) && r.sub.team == 'red'",
  "weekday('UTC') <= 5",
  "r.sub.ssn != 'x'",
];
const subjects = ['ann', 'bob', 'cy', 'dee', 'eve'];
const roles = ['reader', 'writer', 'boss'];
const objects = ['/a', '/a/b', '/c', '/a/*'];
const actions = ['read', 'write', '*'];

/** `attributes.trace` of requests is left out of records, `subject.attributes.ssn` is masked. */
const manifest = `entities: { precedence: stored }
decisionLog: { mask: [/subject/attributes/ssn], drop: [/attributes/trace] }
`;
const entities = `- { type: user, id: ann, attributes: { level: 5 } }
- { type: user, id: bob, attributes: { team: red } }
`;

export interface World {
  readonly before: readonly PolicyFile[];
  readonly after: readonly PolicyFile[];
}

export function randomWorld(random: Random): World {
  const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, cond, eft
[role_definition]
g = _, _
[policy_effect]
e = ${random.of(effects)}
[matchers]
m = ${random.of(matchers)}
`;
  const rules = Array.from({ length: 4 + random.below(8) }, () => ruleOf(random));
  const links = subjects.flatMap((subject) => (random.below(2) === 0 ? [`g, ${subject}, ${random.of(roles)}`] : []));
  const lines = [...rules, ...links];
  const changed = lines.flatMap((line) => {
    switch (random.below(8)) {
      case 0:
        return [];
      case 1:
        return [line.startsWith('p') ? ruleOf(random) : line];
      case 2:
        return [line, ruleOf(random)];
      default:
        return [line];
    }
  });
  return { before: filesOf(model, unique(lines)), after: filesOf(model, unique(changed)) };
}

function unique(lines: readonly string[]): readonly string[] {
  const known = new Set(lines);
  // A set without rules does not load.
  return known.size === 0 ? ['p, ann, /a, read, true, allow'] : [...known];
}

function ruleOf(random: Random): string {
  const condition = random.of(conditions);
  const who = random.of([...subjects, ...roles]);
  return `p, ${who}, ${random.of(objects)}, ${random.of(actions)}, "${condition}", ${random.below(3) === 0 ? 'deny' : 'allow'}`;
}

function filesOf(model: string, lines: readonly string[]): readonly PolicyFile[] {
  const texts = {
    'entities.yaml': entities,
    'model.conf': model,
    'policy-set.yaml': manifest,
    'rules.csv': `${lines.join('\n')}\n`,
  };
  return Object.freeze(Object.entries(texts).map(([path, text]) => ({ path, bytes: Buffer.from(text) })));
}

export function randomRequest(random: Random): DecisionRequest {
  const attributes: JsonObject = {
    ...(random.below(2) === 0 && { level: random.below(6) }),
    ...(random.below(3) === 0 && { team: random.of(['red', 'blue']) }),
    ...(random.below(6) === 0 && { ssn: '078-05-1120' }),
  };
  return {
    subject: { type: 'user', id: random.of(subjects), ...(random.below(4) > 0 && { attributes }) },
    action: { name: random.of(['read', 'write']) },
    resource: {
      type: 'file',
      id: random.of(['/a', '/a/b', '/c', '/d']),
      ...(random.below(2) === 0 && { attributes: { owner: random.of(subjects) } }),
    },
    ...(random.below(4) === 0 && {
      attributes: {
        trace: `t-${random.below(3)}`,
        ...(random.below(2) === 0 && { clock: '2026-11-21T12:00:00.000Z', decision: 'allow' }),
      },
    }),
  };
}
