/**
 * The engine in a browser: bundled for one from what `npm run build` made, it needs nothing of Node and gives the same
 * answers and versions.
 */
import { fileURLToPath } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import { rolldown } from 'rolldown';
import { beforeAll, describe, expect, it } from 'vitest';
import { type CompileOptions, compilePolicySet } from '../../src/engine.js';
import { casbinCases, corpusFiles, modelOf } from './corpus.js';
import { decisionQuestions } from './decision-questions.js';

const now = Date.UTC(2024, 5, 1);
const entry = fileURLToPath(new URL('../../dist/engine.js', import.meta.url));

/** What is asked of a set, as JSON, so that nothing but text crosses into the context. */
interface Questions {
  readonly options: CompileOptions;
  readonly enforce: readonly (readonly [args: unknown[], options: object])[];
  readonly decide: readonly object[];
}

function ask(engine: { compilePolicySet: typeof compilePolicySet }, text: string): string {
  const { options, enforce, decide } = JSON.parse(text);
  try {
    const set = engine.compilePolicySet(options);
    return JSON.stringify([
      set.version,
      set.problems,
      enforce.map(([args, given]: [unknown[], object]) => set.enforce(args, given)),
      decide.map((request: never) => set.decide(request, { now: options.now ?? 0, explain: 'full' })),
    ]);
  } catch (error) {
    return JSON.stringify((error as { problems?: unknown }).problems ?? String(error));
  }
}

let code = '';
let bundled: object;
const warnings: string[] = [];

beforeAll(async () => {
  // For browsers, what is Node's own is left out with a warning, or asked of the page.
  const bundle = await rolldown({
    input: entry,
    platform: 'browser',
    onLog: (_, { message }) => warnings.push(message),
  });
  const { output } = await bundle.generate({ format: 'iife', name: 'verdict' });
  await bundle.close();
  code = output[0].code;
  bundled = { files: output.map(({ fileName }) => fileName), imports: output[0].imports };
});

describe('the engine bundled for browsers', () => {
  it('asks for no module that browsers do not have', () => {
    expect(warnings).toEqual([]);
    expect(bundled).toEqual({ files: ['engine.js'], imports: [] });
  });

  it('decides as the engine on Node, under the same versions', () => {
    // The language's own globals, and the one that the browser's digest takes from the web.
    const context = createContext({ TextEncoder });
    runInContext(`${code}\n;globalThis.verdict = verdict; globalThis.ask = ${ask}`, context);
    expect(runInContext('typeof process + typeof Buffer + typeof require + typeof setTimeout', context)).toBe(
      'undefined'.repeat(4),
    );
    let asked = 0;
    for (const questions of allQuestions()) {
      const text = JSON.stringify(questions);
      context.text = text;
      expect(runInContext('ask(verdict, text)', context)).toBe(ask({ compilePolicySet }, text));
      asked += questions.enforce.length + questions.decide.length;
    }
    expect(asked).toBeGreaterThan(1_000);
  });
});

function* allQuestions(): Generator<Questions> {
  for (const example of casbinCases().filter(({ needs_function: needed }) => needed === undefined)) {
    const { model, policy: rules, roleMatchers: roleMatching, linkConditions, fieldIndex, acceptJson } = example;
    yield {
      options: { model, rules, roleMatching, linkConditions, fieldIndex, acceptJson },
      enforce: example.requests.map(({ args, matcher }) => [args, { context: example.context, matcher, now }]),
      decide: decisionQuestions(example).map(({ request }) => request),
    };
  }
  for (const example of corpusFiles().flatMap(({ cases }) => cases)) {
    const { rules = '', roleMatching, linkConditions, fieldIndex, acceptJson, requests = [] } = example;
    yield {
      options: { model: modelOf(example), rules, roleMatching, linkConditions, fieldIndex, acceptJson },
      enforce: requests.map(({ args, matcher, context }) => [args, { matcher, context, now }]),
      decide: [],
    };
  }
}
