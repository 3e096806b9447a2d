import { defineConfig } from 'vitest/config';

/** The tests of the core that are quick: a mutant is tried against those of them that reach it. */
export default defineConfig({
  test: {
    include: ['test/core/**/*.test.ts', 'test/casbin-differences.test.ts'],
    exclude: [
      'test/core/hostile-input.test.ts',
      'test/core/functions/limits.test.ts',
      'test/core/analysis/**',
      'test/core/casbin/**',
      'test/core/functions/**',
    ],
    testTimeout: 30_000,
    bail: 1,
  },
});
