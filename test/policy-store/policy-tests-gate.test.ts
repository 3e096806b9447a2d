import { describe, expect, it } from 'vitest';
import { lintFolder } from '../../src/cli/commands/lint-command.js';
import { testFolder } from '../../src/cli/commands/test-command.js';
import { PolicyError } from '../../src/core/problem.js';
import { loadPolicySet } from '../../src/policy-store/load-policy-set.js';
import type { PolicySetFiles } from '../../src/policy-store/policy-set-files.js';

const model = `
[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
`;

function setOf(tests: string, manifest: string): PolicySetFiles {
  const texts = {
    'model.conf': model,
    'policy-set.yaml': manifest,
    'rules.csv': 'p, alice, letter, read\n',
    'tests/readers.yaml': tests,
  };
  const files = Object.entries(texts).map(([path, text]) => ({ path, bytes: Buffer.from(text) }));
  return { name: 'letters', files };
}

const passing = `
subjects: [alice, bob]
resources: [letter]
tests: [{ name: readers, actions: [write], allow: { alice: { letter: read }, bob: {} } }]
`;

describe.each([
  ['verdict', 'description: letters'],
  ['casbin', 'engine: casbin'],
])('a set on the engine %s', (_engine, manifest) => {
  it('loads when its tests pass', async () => {
    const loaded = await loadPolicySet(setOf(passing, manifest));
    expect(loaded.served.name).toBe('letters');
    await loaded.stop();
  });

  it('does not load while a test fails, and says which', async () => {
    const failing = passing.replace('bob: {}', 'bob: { letter: read }');
    const error = await loadPolicySet(setOf(failing, manifest)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PolicyError);
    expect((error as PolicyError).problems).toMatchObject([
      {
        code: 'failing_test',
        file: 'tests/readers.yaml',
        line: 4,
        message: expect.stringContaining('bob, read, letter'),
      },
    ]);
  });
});

it("a set that loads shows the linter's warnings among its problems", async () => {
  const files = setOf(passing, 'description: letters').files.map(({ path, bytes }) =>
    path === 'rules.csv'
      ? { path, bytes: Buffer.from('p, alice, letter, read\np, alice, letter, read\n') }
      : { path, bytes },
  );
  const { served } = await loadPolicySet({ name: 'letters', files });
  expect(served.compiled.problems).toMatchObject([{ severity: 'warning', code: 'duplicate_rule', line: 2 }]);
  const silenced = files.map(({ path, bytes }) =>
    path === 'rules.csv'
      ? {
          path,
          bytes: Buffer.from(
            'p, alice, letter, read\n# lint-ignore duplicate_rule: both lists have it\np, alice, letter, read\n',
          ),
        }
      : { path, bytes },
  );
  expect((await loadPolicySet({ name: 'letters', files: silenced })).served.compiled.problems).toEqual([]);
});

/** P10: the tests of one author cost no more than that, wherever they are run. */
describe('what all tests of a set cost together', () => {
  const files = setOf(passing, 'description: letters');
  const stepsOf = async (policySet: PolicySetFiles): Promise<number> => {
    // The least number of steps with which it loads.
    let [low, high] = [0, 100_000];
    while (low < high) {
      const middle = (low + high) >> 1;
      const loads = await loadPolicySet(policySet, { testBudget: { steps: middle, stockMs: 0 } }).then(
        () => true,
        () => false,
      );
      if (loads) high = middle;
      else low = middle + 1;
    }
    return low;
  };
  const folderOf = (policySet: PolicySetFiles) => ({ ...policySet, path: policySet.name, problems: [] });
  const costly = (spent: string) => [
    {
      code: 'tests_too_costly',
      severity: 'error',
      file: 'tests/readers.yaml',
      message: `the tests before this one take more than ${spent} together`,
    },
  ];

  it('is bounded: the first test that is not asked any more is named', async () => {
    const enough = await stepsOf(files);
    expect(enough).toBeGreaterThan(0);
    await (await loadPolicySet(files, { testBudget: { steps: enough, stockMs: 0 } })).stop();
    const error = await loadPolicySet(files, { testBudget: { steps: enough - 1, stockMs: 0 } }).catch(
      (thrown: unknown) => thrown,
    );
    expect((error as PolicyError).problems).toMatchObject(costly(`${enough - 1} steps`));
  });

  it('is bounded for verdict test and verdict lint as for a load', async () => {
    const enough = await stepsOf(files);
    const folder = folderOf(files);
    const [within, beyond] = [enough, enough - 1].map((steps) => ({ steps, stockMs: 0 }));
    expect((await testFolder(folder, within)).problems).toEqual([]);
    expect(await lintFolder(folder, within)).toEqual([]);
    const tested = await testFolder(folder, beyond);
    expect(tested.problems).toMatchObject(costly(`${beyond!.steps} steps`));
    // Those that were asked keep their results.
    expect(tested.results.length).toBeGreaterThan(0);
    expect(await lintFolder(folder, beyond)).toMatchObject(costly(`${beyond!.steps} steps`));
  });

  it('is a time on stock Casbin, which counts no steps', async () => {
    const stock = setOf(passing, 'engine: casbin');
    const folder = folderOf(stock);
    const nothing = { steps: 0, stockMs: 0 };
    const error = await loadPolicySet(stock, { testBudget: nothing }).catch((thrown: unknown) => thrown);
    expect((error as PolicyError).problems).toMatchObject(costly('0 ms of stock Casbin'));
    expect((await testFolder(folder, nothing)).problems).toMatchObject(costly('0 ms of stock Casbin'));
    expect(await lintFolder(folder, nothing)).toMatchObject(costly('0 ms of stock Casbin'));
    expect((await testFolder(folder, { steps: 0, stockMs: 60_000 })).problems).toEqual([]);
  });
});
