/** Prints an explanation for people, whole or in a few lines. */
import type { Change, Explanation, RolePath } from '../../core/explanation.js';
import type { Json } from '../../core/request.js';
import type { Terminal } from './terminal.js';

export function printExplanation(terminal: Terminal, explanation: Explanation): void {
  const { matching, nearMisses, changes, complete } = explanation;
  if (matching.length > 0) {
    heading(terminal, 'Rules that apply');
    for (const { rule, effect, file, line, roles } of matching) {
      const mark = effect === 'deny' ? terminal.style('red', '✗') : terminal.style('green', '✓');
      terminal.print(`  ${mark} ${place(terminal, file, line)}  ${rule.join(', ')}`);
      for (const path of roles) if (path.path.length > 1) terminal.print(`      ${drawPath(terminal, path)}`);
    }
  }
  if (nearMisses.length > 0) {
    heading(terminal, 'Rules that nearly apply');
    for (const { rule, file, line, failed } of nearMisses) {
      terminal.print(`  ${terminal.style('yellow', '·')} ${place(terminal, file, line)}  ${rule.join(', ')}`);
      for (const { message } of failed) terminal.print(`      ${terminal.style('yellow', message)}`);
    }
  }
  if (changes.length > 0) {
    heading(terminal, 'It would be allowed if');
    for (const { changes: needed, file, line } of changes) {
      for (const [index, change] of needed.entries()) {
        const rest = index < needed.length - 1 ? ', and' : `  ${terminal.style('dim', `(${file}:${line})`)}`;
        terminal.print(`  ${describeChange(change)}${rest}`);
      }
    }
  }
  if (complete) return;
  terminal.print();
  terminal.print(terminal.style('dim', 'There is more: an explanation looks at so many rules and no further.'));
}

/** An explanation in a few lines, below a test that failed: the reason, how the roles are held, and what would allow. */
export function printWhy(terminal: Terminal, { summary, matching, changes }: Explanation): void {
  terminal.print(`    ${summary}`);
  for (const { roles } of matching) {
    for (const path of roles) if (path.path.length > 1) terminal.print(`      ${drawPath(terminal, path)}`);
  }
  for (const { changes: needed } of changes) {
    terminal.print(`      it would be allowed if ${needed.map(describeChange).join(', and ')}`);
  }
}

function heading(terminal: Terminal, text: string): void {
  terminal.print();
  terminal.print(terminal.style('bold', text));
}

function place(terminal: Terminal, file: string, line: number): string {
  return terminal.style('dim', `${file}:${line}`);
}

/** `user:dana → nurse → clinician` */
function drawPath(terminal: Terminal, { definition, path, domain }: RolePath): string {
  const arrows = path.join(` ${terminal.style('cyan', '→')} `);
  const where = domain === undefined ? '' : ` in ${domain}`;
  return `${arrows}${terminal.style('dim', ` (${definition}${where})`)}`;
}

function describeChange(change: Change): string {
  if (change.kind === 'role') {
    const where = change.domain === undefined ? '' : ` in ${change.domain}`;
    return `${change.name} had the role ${change.role}${where} (${change.definition})`;
  }
  const path = change.path.slice(1).replaceAll('/', '.').replace('.attributes.', '.');
  const from = change.from === undefined ? '' : ` instead of ${show(change.from)}`;
  return `${path} were ${show(change.to)}${from}`;
}

function show(value: Json): string {
  return JSON.stringify(value);
}
