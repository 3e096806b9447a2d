/** The pages of docs/lint.md: each wrong example has the warning that it is about, and each right one has none. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { lint } from '../../../src/core/analysis/lint.js';
import { compileInSteps } from '../../../src/core/policy/compile.js';
import type { PolicyProblem } from '../../../src/core/problem.js';
import { finish } from '../../../src/core/steps.js';

const page = readFileSync(new URL('../../../docs/lint.md', import.meta.url), 'utf8');

interface Block {
  readonly language: string;
  readonly words: readonly string[];
  readonly text: string;
}

function blocksOf(markdown: string): readonly Block[] {
  return [...markdown.matchAll(/```(\w+) ([\w ]+)\n(.*?)```/gs)].map(([, language, words, text]) => ({
    language: language!,
    words: words!.split(' '),
    text: text!,
  }));
}

const [preface, ...sections] = page.split(/^## /m);
const defaults = blocksOf(preface!);

function warningsOf({
  model,
  manifest,
  rules,
  entities,
}: {
  model: string;
  manifest: string;
  rules: string;
  entities: string;
}): readonly PolicyProblem[] {
  const named = (file: string, text: string) => ({ file, text });
  const texts = [named('model.conf', model), named('rules.csv', rules), named('policy-set.yaml', manifest)];
  const sources = { model, manifest, entities, rules: [named('rules.csv', rules)] };
  const compiled = finish(compileInSteps({ ...sources, strict: true }, () => ''));
  return lint(compiled, compiled.problems, texts);
}

function example(section: string, side: 'wrong' | 'right') {
  const blocks = blocksOf(section);
  const find = (kind: string) =>
    blocks.find(({ words }) => words.includes(side) && words.includes(kind))?.text ??
    defaults.find(({ words }) => words.includes(kind))!.text;
  const { text, words } = blocks.find((block) => block.language === 'csv' && block.words.includes(side))!;
  const times = words.includes('repeated') ? 1_001 : 1;
  const rules = Array.from({ length: times }, (_, n) => text.replaceAll('{n}', String(n))).join('');
  const entities = blocks.find(({ words }) => words.includes(side) && words.includes('entities'))?.text ?? '';
  return { model: find('model'), manifest: find('manifest'), rules, entities };
}

describe.each(sections.map((section) => [section.split('\n')[0]!, section] as const))('%s', (code, section) => {
  it('is warned of in the wrong example', () => {
    const warnings = warningsOf(example(section, 'wrong'));
    expect(warnings.map((warning) => warning.code)).toContain(code);
    expect(warnings.every(({ severity, line, column }) => severity === 'warning' && line > 0 && column > 0)).toBe(true);
  });

  it('is not warned of in the right one, nor is anything else', () => {
    expect(warningsOf(example(section, 'right'))).toEqual([]);
  });
});

it('does not say that nobody has a role where links are live data: somebody may get it any time', () => {
  const section = sections.find((text) => text.startsWith('role_without_members'))!;
  const wrong = example(section, 'wrong');
  const manifest = `${wrong.manifest}\ndata: { roles: [g] }\n`;
  const codes = warningsOf({ ...wrong, manifest }).map(({ code }) => code);
  expect(codes).not.toContain('role_without_members');
});

it('says of a definition where it is defined, and not where it is used, that its types are unlikely', () => {
  const wrong = example(sections.find((text) => text.startsWith('unlikely_types'))!, 'wrong');
  const condition = /r\.obj\.amount < "1000"/.exec(wrong.model)![0];
  const manifest = `${wrong.manifest}define:\n  small: '${condition}'\n`;
  const model = wrong.model.replace(condition, 'small && (small || r.act == p.act)');
  const warnings = warningsOf({ ...wrong, model, manifest });
  expect(warnings.map(({ code, file, line }) => `${code} ${file}:${line}`)).toEqual([
    `unlikely_types policy-set.yaml:${manifest.split('\n').length - 1}`,
  ]);
});

it('has a page for every warning, and for nothing else', () => {
  const problems = readFileSync(new URL('../../../docs/problems.md', import.meta.url), 'utf8');
  const [beforeLinter, linter] = problems.split('### Warnings of the linter') as [string, string];
  const ofLinter = linter.slice(0, linter.indexOf('\n## '));
  const codesIn = (rows: string, form: RegExp) =>
    [...rows.matchAll(form)].flatMap(([, codes]) => codes!.match(/\w+/g)!);
  const listed = [
    ...codesIn(beforeLinter, /^\| (`[^|]*`) \| (?:warning:|.*a warning$|.*a warning \|)/gm),
    ...codesIn(ofLinter, /^\| (`[^|]*`) \|/gm),
  ];
  expect(sections.map((section) => section.split('\n')[0]).sort()).toEqual(listed.sort());
});
