import { describe, expect, it } from 'vitest';
import { changesSince, type ReadSet } from '../../../src/core/analysis/since.js';
import { type CompileOptions, compileInSteps } from '../../../src/core/policy/compile.js';
import { PolicyError } from '../../../src/core/problem.js';
import { currentSemantics, type Semantics } from '../../../src/core/semantics.js';
import { finish } from '../../../src/core/steps.js';

const model = (tokens: string, matcher: string) => `[request_definition]
r = ${tokens}
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = ${matcher}
`;
const plain = { model: model('sub, obj, act', 'r.sub == p.sub && r.obj == p.obj'), rules: 'p, alice, doc, read' };

function read(options: CompileOptions, semantics: Semantics): ReadSet {
  try {
    const compiled = finish(compileInSteps({ ...options, semantics }, () => ''));
    return { compiled, problems: compiled.problems };
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return { compiled: undefined, problems: error.problems };
  }
}

const changes = (options: CompileOptions): string[] =>
  changesSince(read(options, 1), read(options, currentSemantics), options).map(
    ({ severity, code, file }) => `${severity} ${code} ${file}`,
  );

describe('what changed since 0.1', () => {
  it('is nothing for a set that no default touches', () => {
    expect(changes(plain)).toEqual([]);
  });

  it('is whose attribute wins, where entities are stored and the manifest does not say', () => {
    const entities = [{ type: 'user', id: 'alice', attributes: { a: 1 } }];
    expect(changes({ ...plain, entities })).toEqual(['warning changed_default entities.yaml']);
    expect(changes({ ...plain, entities, manifest: { entities: { precedence: 'request' } } })).toEqual([]);
  });

  it('is what no longer loads, with its place', () => {
    const two = { ...plain, model: model('sub, user, obj, act', 'r.sub == p.sub && r.user == p.obj') };
    expect(changes(two)).toContain('error ambiguous_binding model.conf');
  });

  it('is the budget of steps, where every rule is asked', () => {
    const rules = Array.from({ length: 5_001 }, (_, at) => `p, u${at}, doc, read`).join('\n');
    const scans = { model: model('sub, obj, act', 'r.sub.a < 3 && p.sub != ""'), rules };
    expect(changes(scans)).toContain('warning changed_default model.conf');
    expect(changes({ ...scans, rules: rules.slice(0, rules.lastIndexOf('\n')) })).toEqual([]);
  });

  it('names the file and the line of what it is about', () => {
    const placed = (options: CompileOptions) =>
      changesSince(read(options, 1), read(options, currentSemantics), options).map(
        ({ code, file, line, column }) => `${code} ${file}:${line}:${column}`,
      );
    const entities = '# people\n- { type: team, id: red }\n- type: user\n  id: alice\n  attributes: { a: 1 }\n';
    expect(placed({ ...plain, entities })).toEqual(['changed_default entities.yaml:5:3']);
    expect(
      placed({ ...plain, entities: { file: 'entities.json', text: '[{"type":"t","id":"i","attributes":{"a":1}}]' } }),
    ).toEqual(['changed_default entities.json:1:23']);
    const schema = '# what there is\n\nsubject:\n  user:\n    properties: { age: {} }\n';
    expect(placed({ ...plain, schema })).toEqual(['changed_default schema.yaml:3:1']);
    const rules = Array.from({ length: 5_001 }, (_, at) => `p, u${at}, doc, read`).join('\n');
    const scans = { model: model('sub, obj, act', 'r.sub.a < 3 && p.sub != ""'), rules };
    expect(placed(scans)).toEqual(['changed_default model.conf:8:5']);
  });

  it('is nothing where no stored entity has an attribute that could win', () => {
    expect(changes({ ...plain, entities: [{ type: 'team', id: 'red' }] })).toEqual([]);
  });
});
