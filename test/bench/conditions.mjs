/**
 * How long a set takes to load whose 20,000 rules have a condition each, all different: `npm run build && node test/bench/conditions.mjs`.
 * Processor time in milliseconds, which other programs on the machine change less than the clock.
 */
import { compilePolicySet } from '../../dist/engine.js';

const model = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act, when
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub.id == p.sub && r.act == p.act && eval(p.when)
`;
const condition = (n) => `r.obj.owner == 'user${n}' && r.sub.level >= ${n % 97} && r.obj.region in ('eu-${n}', 'us')`;
const rules = Array.from({ length: 20_000 }, (_, n) => `p, user${n}, doc, read, "${condition(n)}"`).join('\n');

const times = Array.from({ length: 5 }, () => {
  const before = process.cpuUsage();
  compilePolicySet({ model, rules });
  return Math.round(process.cpuUsage(before).user / 1_000);
});
console.log(`load of 20,000 conditions: ${times.join(' ')} ms, ${Math.min(...times)} ms at best`);
