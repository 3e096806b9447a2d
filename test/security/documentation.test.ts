/** docs/security.md promises a test in every row: each must be there, by its file and by its name. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { knownScopes } from '../../src/auth/scopes.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(`${root}docs/security.md`, 'utf8');

const rows = page
  .split('\n## ')
  .filter((section) => section.includes('| test |'))
  .flatMap((section) => {
    const lines = section.split('\n').filter((line) => line.startsWith('| '));
    return lines.slice(1).map((line) => ({
      section: section.split('\n')[0]!,
      cells: line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    }));
  });

describe('docs/security.md', () => {
  it('has its tables', () => {
    expect(rows.length).toBeGreaterThan(50);
    for (let n = 1; n <= 10; n++) expect(page).toMatch(new RegExp(`^\\| API${n} `, 'm'));
  });

  it.each(rows)('names a test that is there: $section: $cells.0', ({ cells }) => {
    expect(cells).toHaveLength(3);
    const match = /^`(test\/[\w/.-]+(?:\.test|-suite)\.ts)`: (.+)$/.exec(cells[2]!);
    expect(match, cells[2]).not.toBeNull();
    const [, file, name] = match!;
    expect(existsSync(root + file!), file).toBe(true);
    // In a text, that is, and not only in a comment.
    const title = new RegExp(`['"\`][^'"\`\\n]*${name!.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`);
    expect(readFileSync(root + file!, 'utf8')).toMatch(title);
  });

  it('names every scope', () => {
    for (const scope of knownScopes) expect(page).toContain(`\`${scope}\``);
  });
});
