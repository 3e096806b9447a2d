/** P10: long lists and mappings in brackets are composed in pieces, and are what the library makes of them at once. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Composer, type CST, type Document, type Node, Parser, visit } from 'yaml';
import { composeInSteps, readYamlInSteps } from '../../../src/core/manifest/yaml-document.js';
import type { PolicyProblem } from '../../../src/core/problem.js';
import { finish } from '../../../src/core/steps.js';

const tokensOf = (text: string): CST.Token[] => [...new Parser().parse(text)];

/** Values with their places, or the place of the first error. */
function read(documents: readonly Document.Parsed[], errors: readonly { pos: readonly number[] }[]) {
  const nodes: unknown[] = [];
  visit(documents[0] as never, {
    Node: (_key, node) => {
      const { tag, range } = node as Node;
      nodes.push([node.constructor.name, range?.[0], tag, 'value' in node ? node.value : undefined]);
    },
  });
  const [first] = [...errors].sort((a, b) => (a.pos[0] ?? 0) - (b.pos[0] ?? 0));
  // Behind an error the parser guesses.
  return first === undefined ? { nodes } : { at: first.pos[0] };
}

function atOnce(text: string) {
  const composer = new Composer({ version: '1.2', uniqueKeys: false });
  const documents = [...composer.compose(tokensOf(text), true, text.length)] as Document.Parsed[];
  return read(documents, documents[0]?.errors ?? []);
}

function inPieces(text: string, tokensPerPiece: number) {
  const { documents, errors } = finish(composeInSteps(tokensOf(text), text.length, false, tokensPerPiece));
  return read(documents, errors);
}

const texts = [
  '[1, 2, 3, 4, 5, 6]',
  '{a: 1, b: 2, "c": [1, 2, 3, {d: e}], f: {}, g: []}',
  '[ { "type": "user", "id": "a" }, { "type": "user", "id": "b", "attributes": { "x": [1, 2, [3, 4]], "y": null } } ]',
  '- {type: user, id: a, attributes: {l: [1, 2, 3, 4, 5]}}\n- [a, b, c]\n- x: {y: [1, 2, 3], z: w}\n',
  'a:\n  b: [1,\n    2, # two\n    3]\n  c: {d: 1,\n    e: [2, 3]}\n',
  '[a, b, c,]',
  '[1 2, 3, 4]',
  'a:\n  [1, 2,\n  3\n]\n',
  '{a, b: , ? c : d, ? e}',
  '[a: 1, b: 2, ? c : d]',
  '[ # first\n a, # after a\n # before b\n b\n, c ]',
  '!!map {a: !!seq [1, !!str 2, &x 3], b: *x}',
  '--- [a, b, c]\n',
  '%YAML 1.2\n---\n[a, b, c, d]\n',
  '%TAG !e! tag:e.example,2026:\n---\n[!e!a 1, !e!b 2, !e!c 3]\n',
  '[1, 2, 3]\n---\n[4, 5, 6]\n',
];
const faulty = [
  '[,1, 2, 3]',
  '[1,, 2, 3]',
  '[1, 2,, 3]',
  '[1, 2, 3,,]',
  '["a" "b", c]',
  '["a", "b" "c"]',
  '{"a": 1 "b": 2, c: 3}',
  '{"a": 1, "b" 2, c: 3}',
  '[1, 2, 3',
  '{a: 1, b: 2',
  '[1, 2, 3}',
  '[1, [2, 3, 4], 5]]',
  'a: [1,\n2, 3]',
  '["a", "b\\z", "c"]',
  '[!e!a 1, 2, 3]',
  '[- a, b, c]',
];

describe('a collection in brackets, composed in pieces', () => {
  it.each([...texts, ...faulty])('is what it is when it is composed at once: %j', (text) => {
    const wanted = atOnce(text);
    expect('at' in wanted).toBe(faulty.includes(text));
    for (const tokensPerPiece of [1, 2, 3, 5, 8, 1_000]) expect(inPieces(text, tokensPerPiece)).toEqual(wanted);
  });

  it('is the same for any JSON, and where a character of it is missing or too many', () => {
    const edited = fc.record({
      value: fc.jsonValue({ maxDepth: 4 }),
      at: fc.nat(),
      gone: fc.nat(1),
      put: fc.constantFrom('', '', ',', '[', '}', ':', '"', '#', '\n', ' '),
      tokensPerPiece: fc.integer({ min: 1, max: 20 }),
    });
    fc.assert(
      fc.property(edited, ({ value, at, gone, put, tokensPerPiece }) => {
        const json = JSON.stringify(value);
        const place = at % (json.length + 1);
        const text = json.slice(0, place) + put + json.slice(place + gone);
        expect(inPieces(text, tokensPerPiece)).toEqual(atOnce(text));
      }),
      { numRuns: 500 },
    );
  });

  it('pauses within a long list, a long mapping, and one deep in another', () => {
    const list = `[${'1, '.repeat(30_000)}1]`;
    const mapping = `{${Array.from({ length: 15_000 }, (_, at) => `k${at}: 1`).join(', ')}}`;
    for (const text of [list, mapping, `- {type: user, attributes: {a: ${list}, b: ${mapping}}}`]) {
      let pauses = 0;
      for (const _ of composeInSteps(tokensOf(text), text.length, false)) pauses++;
      // A pause for a thousand tokens at most, when they are looked at and when they are composed.
      expect(pauses).toBeGreaterThan((2 * 30_000) / 1_000);
      const problems: PolicyProblem[] = [];
      const steps = readYamlInSteps({ file: 'f.yaml', text }, (problem) => problems.push(problem));
      expect(finish(steps)?.json()).toEqual(atOnceJson(text));
      expect(problems).toEqual([]);
    }
  });
});

describe('a list that is longer than a step of the parser', () => {
  it('is what it is when it is parsed at once, whatever its items are', () => {
    const items = [
      '1',
      '"a"',
      'b c',
      '[1, 2]',
      '{d: e}',
      'f: g',
      '? h',
      '? i : j',
      '"k":1',
      '!!str 2',
      '[] : x',
      '# l\n m',
    ];
    const text = `- [${Array.from({ length: 6_000 }, (_, at) => items[at % items.length]).join(', ')}]`;
    const problems: PolicyProblem[] = [];
    const steps = readYamlInSteps({ file: 'f.yaml', text }, (problem) => problems.push(problem), 1);
    let pauses = 0;
    for (const _ of readYamlInSteps({ file: 'f.yaml', text }, () => undefined, 1)) pauses++;
    expect(pauses).toBeGreaterThan(4);
    expect(finish(steps)?.json()).toEqual(atOnceJson(text));
    expect(problems).toEqual([]);
  });
});

function atOnceJson(text: string): unknown {
  return ([...new Composer({ uniqueKeys: false }).compose(tokensOf(text))][0] as Document.Parsed).toJSON();
}
