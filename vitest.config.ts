import { defineConfig } from 'vitest/config';

/** Tests that compute and do nothing else: no process, no port and no database of theirs waits for the others. */
const computing = ['answers', 'core', 'fuzz', 'reference', 'stock-casbin', 'turns'].map(
  (folder) => `test/${folder}/**/*.test.ts`,
);

export default defineConfig({
  test: {
    // Far more than any test takes: what hangs is found, and a busy machine is not taken for something that hangs.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A poll ends with what it waits for; on a busy machine that may take a while.
    expect: { poll: { timeout: 20_000 } },
    projects: [
      {
        extends: true,
        test: { name: 'computing', include: computing, maxWorkers: '100%', sequence: { groupOrder: 0 } },
      },
      {
        extends: true,
        test: {
          name: 'serving',
          // These wait for others more than they compute: two of them keep two cores busy, processes that they start included.
          maxWorkers: 2,
          include: ['test/**/*.test.ts'],
          exclude: computing,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
