/**
 * The engine beside node-casbin, a hand-written Map and Cedar, all in one run: machines are noisy, ratios carry over.
 *
 *     npm run bench:engine              # prints the tables
 *     npm run bench:engine -- --write   # and keeps them in test/bench/results/engine.md
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { preparsePolicySet, statefulIsAuthorized } from '@cedar-policy/cedar-wasm/nodejs';
import { newEnforcer, newModelFromString, StringAdapter } from 'casbin';
import { compilePolicySet, compilePolicySetInSteps } from '../../dist/engine.js';

const allowOverride = 'some(where (p.eft == allow))';
const model = (r, p, g, m) =>
  `[request_definition]\nr = ${r}\n[policy_definition]\np = ${p}\n${g ? `[role_definition]\ng = ${g}\n` : ''}` +
  `[policy_effect]\ne = ${allowOverride}\n[matchers]\nm = ${m}\n`;
const now = Date.now();
const lines = [];
const print = (line = '') => {
  console.log(line);
  lines.push(line);
};

/** Microseconds a call, the median of five rounds of about `ms` milliseconds, once it is compiled as well as it will be. */
function time(call, ms = 60) {
  const warm = performance.now() + 2 * ms;
  for (let turn = 0; performance.now() < warm; turn++) call(turn);
  let count = 1;
  for (;;) {
    const started = performance.now();
    for (let turn = 0; turn < count; turn++) call(turn);
    if (performance.now() - started > ms / 4 || count > 1e7) break;
    count *= 4;
  }
  const rounds = [];
  for (let round = 0; round < 5; round++) {
    const started = performance.now();
    for (let turn = 0; turn < count; turn++) call(turn);
    rounds.push(((performance.now() - started) * 1000) / count);
  }
  return rounds.sort((a, b) => a - b)[2];
}

/**
 * Microseconds a call of each, the medians of seven rounds in which each answers all its questions after the other has
 * answered its own: what one keeps of its data in the caches of the processor the other pushes out, for both alike.
 */
function timeInTurns(count, ...calls) {
  const rounds = calls.map(() => []);
  for (let round = 0; round < 7; round++) {
    for (const [at, call] of calls.entries()) {
      let allowed = 0;
      const started = performance.now();
      for (let turn = 0; turn < count; turn++) if (call(turn)) allowed++;
      rounds[at].push(((performance.now() - started) * 1000) / count);
      if (allowed !== count) throw new Error('a question is answered wrongly');
    }
  }
  return rounds.map((times) => times.sort((a, b) => a - b)[3]);
}

/** The 50th and 99th percentile of single calls, in microseconds. The clock itself costs about 0.05. */
function percentiles(call, count = 20_000) {
  const took = new Float64Array(count);
  for (let turn = 0; turn < count; turn++) {
    const started = performance.now();
    call(turn);
    took[turn] = (performance.now() - started) * 1000;
  }
  took.sort();
  return [took[count >> 1], took[Math.floor(count * 0.99)]];
}

function memory() {
  for (let turn = 0; turn < 3; turn++) global.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Loads in steps and measures what a service would feel of it. */
function load(options) {
  const before = memory();
  const pauses = [];
  const started = performance.now();
  let last = started;
  const steps = compilePolicySetInSteps(options);
  for (;;) {
    const step = steps.next();
    const at = performance.now();
    pauses.push(at - last);
    last = at;
    if (step.done) {
      pauses.sort((a, b) => a - b);
      return {
        set: step.value,
        ms: last - started,
        p99: pauses[Math.floor(pauses.length * 0.99)],
        max: pauses.at(-1),
        bytes: memory() - before,
      };
    }
  }
}

const us = (value) => (value >= 1000 ? `${(value / 1000).toFixed(1)} ms` : `${value.toFixed(value < 10 ? 2 : 0)} µs`);
const times = (value) => `${value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(1)} ×`;
const row = (...cells) => print(`| ${cells.join(' | ')} |`);

// Casbin's own RBAC shapes (model_b_test.go): ten users a role, ten roles a resource.
const rbacModel = model(
  'sub, obj, act',
  'sub, obj, act',
  '_, _',
  'g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act',
);
function rbacRules(roles, users) {
  const rules = [];
  for (let role = 0; role < roles; role++) rules.push(`p, group${role}, data${Math.floor(role / 10)}, read`);
  for (let user = 0; user < users; user++) rules.push(`g, user${user}, group${Math.floor(user / 10) % roles}`);
  return rules.join('\n');
}

async function rbac() {
  print('## RBAC as in the benchmarks of Casbin: none matches');
  print();
  row('rules, role links', 'here', 'p50 / p99', 'node-casbin', 'ratio', 'wanted');
  row('---', '---', '---', '---', '---', '---');
  for (const [roles, users, calls, wanted] of [
    [100, 1000, 200, 200],
    [1000, 10_000, 60, 2000],
    [10_000, 100_000, 12, 20_000],
    [100_000, 200_000, 5, 100_000],
  ]) {
    const rules = rbacRules(roles, users);
    const set = compilePolicySet({ model: rbacModel, rules });
    const ask = [`user${users / 2 + 1}`, `data${roles / 10 - 1}`, 'write'];
    const here = time(() => set.enforce(ask));
    const [p50, p99] = percentiles(() => set.enforce(ask));
    const theirs = await stockTime(rules, ask, calls);
    row(
      `${roles.toLocaleString('en')}, ${users.toLocaleString('en')}`,
      us(here),
      `${us(p50)} / ${us(p99)}`,
      us(theirs),
      times(theirs / here),
      `≥ ${wanted.toLocaleString('en')} ×`,
    );
    rbac.plan = set.plan;
  }
  print();
  print(`Plan: ${rbac.plan.join('; ')}.`);
}

async function stockTime(rules, ask, calls) {
  const enforcer = await newEnforcer(newModelFromString(rbacModel), new StringAdapter(rules));
  enforcer.enforceSync(...ask);
  const started = performance.now();
  for (let call = 0; call < calls; call++) enforcer.enforceSync(...ask);
  return ((performance.now() - started) * 1000) / calls;
}

// Domains, and one rule in ten a path pattern.
const tenantModel = model(
  'sub, dom, obj, act',
  'sub, dom, obj, act',
  '_, _, _',
  'g(r.sub, p.sub, r.dom) && r.dom == p.dom && keyMatch2(r.obj, p.obj) && r.act == p.act',
);
const pathOf = (rule) => `/api/v${rule % 50}/items${rule}`;
function tenantRules(count) {
  const rules = [];
  const roles = count / 10;
  for (let rule = 0; rule < count; rule++) {
    rules.push(`p, role${rule % roles}, dom${rule % 100}, ${pathOf(rule)}${rule % 10 === 0 ? '/:id' : ''}, read`);
  }
  for (let user = 0; user < roles; user++) rules.push(`g, user${user}, role${user}, dom${user % 100}`);
  return rules.join('\n');
}

function growth() {
  print('## From a thousand rules to a million: RBAC with domains, one rule in ten a path pattern');
  print();
  row('rules', 'load', 'pauses p99 / max', 'bytes a rule', 'cold keys', 'hot keys', 'Map, cold', 'Map, hot');
  row('---', '---', '---', '---', '---', '---', '---', '---');
  const measured = [];
  for (const count of [1000, 10_000, 100_000, 1_000_000]) {
    const { set, ms, p99, max, bytes } = load({ model: tenantModel, rules: tenantRules(count) });
    const roles = count / 10;
    const asks = [];
    const keys = [];
    const map = new Map();
    for (let rule = 0; rule < count; rule++) map.set(`role${rule % roles}|dom${rule % 100}|${pathOf(rule)}|read`, rule);
    for (let index = 0; index < 100_000; index++) {
      const rule = (index * 7919) % count;
      const who = rule % roles;
      asks.push([`user${who}`, `dom${who % 100}`, `${pathOf(rule)}${rule % 10 === 0 ? '/7' : ''}`, 'read']);
      keys.push([`role${who}`, `dom${who % 100}`, pathOf(rule), 'read']);
    }
    const mapAllows = ([sub, dom, obj, act]) => map.get(`${sub}|${dom}|${obj}|${act}`) !== undefined;
    const [cold, mapCold] = timeInTurns(
      asks.length,
      (turn) => set.enforce(asks[turn]).decision === 'allow',
      (turn) => mapAllows(keys[turn]),
    );
    const hot = time((turn) => set.enforce(asks[turn % 100]));
    const mapHot = time((turn) => mapAllows(keys[turn % 100]));
    measured.push({ cold, hot, mapCold, mapHot });
    const loops = `${p99.toFixed(1)} / ${max.toFixed(0)} ms`;
    const size = Math.round(bytes / (count * 1.1));
    row(count.toLocaleString('en'), us(ms * 1000), loops, size, us(cold), us(hot), us(mapCold), us(mapHot));
  }
  const [first, last] = [measured[0], measured.at(-1)];
  const grew = (name) => last[name] / first[name];
  print();
  print(
    `From 1,000 to 1,000,000 rules the engine grows ${times(grew('cold'))} on cold and ${times(grew('hot'))} on hot keys, ` +
      `the Map ${times(grew('mapCold'))} and ${times(grew('mapHot'))}: ` +
      `${times(grew('cold') / grew('mapCold'))} and ${times(grew('hot') / grew('mapHot'))} that of the Map (wanted ≤ 1.5 ×).`,
  );
  print('Wanted: 100,000 rules in 1.5 s with pauses p99 ≤ 20 ms, 1,000,000 in 15 s with ≤ 100 ms; ≤ 400 bytes a rule.');
}

function searches() {
  print('## Searches: who can, what can');
  print();
  row('search', 'candidates', 'decided', 'found', 'first', 'then', 'every candidate decided', 'ratio');
  row('---', '---', '---', '---', '---', '---', '---', '---');
  const count = 100_000;
  const users = compilePolicySet({ model: rbacModel, rules: rbacRules(count / 10, count) });
  compareSearch(
    'who may read a document, ten roles with ten users each',
    () => users.candidates('subject', 'user'),
    (turn) => users.whoCan({ type: 'user', action: { name: 'read' }, resource: { id: `data${turn % 1000}` } }, { now }),
    (id) => users.enforce([id, 'data0', 'read']),
  );
  const rules = [];
  for (let doc = 0; doc < count; doc++) rules.push(`p, group${Math.floor(doc / 20)}, doc${doc}, read`);
  for (let user = 0; user < count / 20; user++) rules.push(`g, user${user}, group${user}`);
  const docs = compilePolicySet({ model: rbacModel, rules: rules.join('\n') });
  compareSearch(
    'what a user may read, one role with twenty documents',
    () => docs.candidates('resource', 'doc'),
    (turn) => docs.whatCan({ subject: { id: `user${turn % 1000}` }, action: { name: 'read' }, type: 'doc' }, { now }),
    (id) => docs.enforce(['user0', id, 'read']),
  );
  print();
  print(
    'The first search of a set makes what the others share, the list of candidates and indexes, in steps of some milliseconds; each asks for another document or user.',
  );
}

function compareSearch(name, listCandidates, search, decide) {
  const started = performance.now();
  const { results, examined } = search(0);
  const first = (performance.now() - started) * 1000;
  const candidates = listCandidates();
  const wanted = candidates.filter((id) => decide(id).decision === 'allow');
  if (wanted.join() !== results.join()) throw new Error(`${name}: the search must find what brute force finds`);
  const here = time((turn) => search(turn));
  const brute = time(() => candidates.filter((id) => decide(id).decision === 'allow'), 200);
  const size = candidates.length.toLocaleString('en');
  row(name, size, examined, results.length, us(first), us(here), us(brute), times(brute / here));
}

function batches() {
  print('## A batch: a hundred questions by one subject with fifty roles');
  print();
  const [subjects, each] = [2000, 50];
  const rules = [];
  for (let role = 0; role < 1000; role++) rules.push(`p, role${role}, doc${role}, read`);
  for (let user = 0; user < subjects; user++) {
    for (let role = 0; role < each; role++) rules.push(`g, user${user}, role${(user + role * 20) % 1000}`);
  }
  const set = compilePolicySet({ model: rbacModel, rules: rules.join('\n') });
  const ask = (user, doc) =>
    set.decide({ subject: `user${user}`, action: 'read', resource: `doc${doc}` }, { now, explain: 'none' }).decision;
  const started = performance.now();
  for (let user = 0; user < subjects; user++) ask(user, user % 1000);
  const unmet = ((performance.now() - started) * 1000) / subjects;
  row('a decision in a batch by one subject', 'each by another subject, met before', 'never met before');
  row('---', '---', '---');
  const one = time((turn) => ask(7, turn % 100));
  const others = time((turn) => ask(turn % subjects, turn % 100));
  row(us(one), us(others), us(unmet));
  print();
  print('Roles are worked out at the first question; from then on they hang on the name, in a batch and beyond it.');
}

async function conditions() {
  print('## ABAC: conditions in rules, through eval()');
  print();
  row('conditions on the resource', 'here', 'node-casbin', 'ratio', 'wanted', 'with 10,000 on other resources');
  row('---', '---', '---', '---', '---', '---');
  const plain = model('sub, obj, act', 'obj, act, cond', '', 'r.obj == p.obj && r.act == p.act && eval(p.cond)');
  for (const count of [10, 100, 1000]) {
    const rules = [];
    for (let rule = 0; rule < count; rule++) {
      rules.push(`p, doc, read, r.sub.age > ${100 + rule} && r.sub.name == 'u${rule}'`);
    }
    const others = [];
    for (let rule = 0; rule < 10_000; rule++) others.push(`p, other${rule}, read, r.sub.age > ${rule}`);
    const ask = [{ age: 50, name: 'x' }, 'doc', 'read'];
    const here = compilePolicySet({ model: plain, rules: rules.join('\n') });
    const beside = compilePolicySet({ model: plain, rules: [...others, ...rules].join('\n') });
    const enforcer = await newEnforcer(newModelFromString(plain), new StringAdapter(rules.join('\n')));
    const ours = time(() => here.enforce(ask));
    const theirs = time(() => enforcer.enforceSync(...ask), 200);
    const amongOthers = time(() => beside.enforce(ask));
    row(count.toLocaleString('en'), us(ours), us(theirs), times(theirs / ours), '≥ 20 ×', us(amongOthers));
  }
}

function floor() {
  print('## The floor: an allowed question through two columns and three roles');
  print();
  const rules = [];
  for (let role = 0; role < 1000; role++) rules.push(`p, role${role}, doc${role}, read`);
  for (let user = 0; user < 1000; user++) {
    rules.push(`g, user${user}, team${user}`, `g, team${user}, lead${user}`, `g, lead${user}, role${user}`);
  }
  const twoColumns = model('sub, obj', 'sub, obj, act', '_, _', 'g(r.sub, p.sub) && r.obj == p.obj');
  const set = compilePolicySet({ model: twoColumns, rules: rules.join('\n') });
  const ask = ['user500', 'doc500'];
  if (set.enforce(ask).decision !== 'allow') throw new Error('the question must be allowed');
  // What one would write by hand: the roles of each user in a Map, the rules of each role and resource in another.
  const rolesOf = new Map();
  const allowed = new Map();
  for (let user = 0; user < 1000; user++) {
    rolesOf.set(`user${user}`, [`user${user}`, `team${user}`, `lead${user}`, `role${user}`]);
    allowed.set(`role${user}|doc${user}`, true);
  }
  const byHand = ([sub, obj]) => rolesOf.get(sub)?.some((role) => allowed.has(`${role}|${obj}`)) ?? false;
  const here = time(() => set.enforce(ask));
  const decided = time(() => set.decide({ subject: 'user500', action: 'read', resource: 'doc500' }, { now }));
  const map = time(() => byHand(ask));
  row('enforce', 'decide', 'hand-written Maps', 'enforce / Maps', 'wanted');
  row('---', '---', '---', '---', '---');
  row(us(here), us(decided), us(map), times(here / map), '≤ 3 ×');
  print();
  memory();
  const before = process.memoryUsage().heapUsed;
  const calls = 2000;
  for (let call = 0; call < calls; call++) set.enforce(ask);
  const garbage = (process.memoryUsage().heapUsed - before) / calls;
  print(`Garbage: ${Math.round(garbage)} bytes a decision (wanted ≤ 1,024).`);
}

function cedar() {
  print('## Cedar (cedar-wasm, policies parsed beforehand)');
  print();
  row('question', 'here', 'Cedar', 'ratio', 'wanted');
  row('---', '---', '---', '---', '---');
  const policies = {};
  const rules = [];
  for (let role = 0; role < 100; role++) {
    policies[`p${role}`] =
      `permit(principal in Role::"role${role}", action == Action::"read", resource == Doc::"doc${role}");`;
    rules.push(`p, role${role}, doc${role}, read`, `g, user${role}, role${role}`);
  }
  expectParsed(preparsePolicySet('rbac', { staticPolicies: policies }));
  const set = compilePolicySet({ model: rbacModel, rules: rules.join('\n') });
  const uid = (type, id) => ({ type, id });
  const call = {
    principal: uid('User', 'user50'),
    action: uid('Action', 'read'),
    resource: uid('Doc', 'doc50'),
    context: {},
    preparsedPolicySetId: 'rbac',
    entities: [{ uid: uid('User', 'user50'), attrs: {}, parents: [uid('Role', 'role50')] }],
  };
  if (statefulIsAuthorized(call).response?.decision !== 'allow') throw new Error('Cedar must allow');
  compareCedar('RBAC, 100 rules', () => set.enforce(['user50', 'doc50', 'read']), call);
  expectParsed(
    preparsePolicySet('abac', {
      staticPolicies: {
        p0: 'permit(principal, action == Action::"read", resource) when { principal.department == resource.department && principal.level >= resource.level };',
      },
    }),
  );
  const abac = compilePolicySet({
    model: model('sub, obj, act', 'act, cond', '', 'r.act == p.act && eval(p.cond)'),
    rules: 'p, read, r.sub.department == r.obj.department && r.sub.level >= r.obj.level',
  });
  const attributes = { department: 'sales', level: 3 };
  compareCedar('ABAC, attributes in the request', () => abac.enforce([attributes, attributes, 'read']), {
    ...call,
    preparsedPolicySetId: 'abac',
    entities: [
      { uid: uid('User', 'user50'), attrs: attributes, parents: [] },
      { uid: uid('Doc', 'doc50'), attrs: attributes, parents: [] },
    ],
  });
}

function compareCedar(name, ask, call) {
  if (ask().decision !== 'allow') throw new Error(`${name} must be allowed`);
  if (statefulIsAuthorized(call).response?.decision !== 'allow') throw new Error(`${name}: Cedar must allow`);
  const ours = time(ask);
  const theirs = time(() => statefulIsAuthorized(call), 200);
  row(name, us(ours), us(theirs), times(theirs / ours), '≥ 10 ×');
}

function expectParsed(answer) {
  if (answer.type !== 'success') throw new Error(JSON.stringify(answer));
}

print('# The engine, measured');
print();
const cpu = cpus();
print(
  `Node ${process.version}, ${cpu.length} × ${cpu[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB. ` +
    'Printed by `npm run bench:engine -- --write`. Ratios carry over to other machines, absolute figures do not.',
);
for (const section of [rbac, growth, conditions, searches, batches, floor, cedar]) {
  print();
  await section();
}
if (process.argv.includes('--write')) {
  mkdirSync(new URL('results/', import.meta.url), { recursive: true });
  writeFileSync(new URL('results/engine.md', import.meta.url), `${lines.join('\n')}\n`);
}
