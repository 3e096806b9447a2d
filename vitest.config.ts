import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Far more than any test takes: what hangs is found, and a busy machine is not taken for something that hangs.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // A poll ends with what it waits for; on a busy machine that may take a while.
    expect: { poll: { timeout: 20_000 } },
  },
});
