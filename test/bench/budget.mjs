/**
 * What an evaluation takes that uses up its budget of steps, for each of the dearest mixes of work: on a set that was just
 * loaded, and when it is asked again. CPU time, since the wall clock counts what else runs on the machine.
 *
 *     npm run bench:budget               # all
 *     npm run bench:budget -- regexMatch # those with that word in their names
 */
import { compilePolicySet } from '../../dist/engine.js';
import { dearestMixes } from './dearest-mixes.mjs';

const wantedMs = 20;
const words = process.argv.slice(2);

function cpuMs(work) {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const cell = (value) => value.toFixed(1).padStart(8);
const load = ({ model, rules, manifest }) =>
  compilePolicySet({ model, rules, ...(manifest !== undefined && { manifest }) });

console.log(
  `${'mix'.padEnd(52)}${'cold'.padStart(8)}${'best'.padStart(8)}${'worst'.padStart(8)}  ms of CPU, wanted ≤ ${wantedMs}`,
);
for (const mix of dearestMixes) {
  if (!words.every((word) => mix.name.includes(word))) continue;
  const set = load(mix);
  // The first times the code of the engine is compiled while it runs.
  for (let turn = 0; turn < 5; turn++) set.enforce(mix.request);
  const again = Array.from({ length: 7 }, () => cpuMs(() => set.enforce(mix.request)));
  const fresh = load(mix);
  let answer;
  const cold = cpuMs(() => {
    answer = fresh.enforce(mix.request);
  });
  const codes = answer.errors.map(({ code }) => code);
  const ended = codes.includes('step_budget_exceeded')
    ? ''
    : `  the budget suffices: ${answer.decision} ${codes[0] ?? ''}`;
  console.log(`${mix.name.padEnd(52)}${cell(cold)}${cell(Math.min(...again))}${cell(Math.max(...again))}${ended}`);
}
