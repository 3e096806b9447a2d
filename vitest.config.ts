import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // A poll ends with what it waits for; on a busy machine that may take a while.
    expect: { poll: { timeout: 20_000 } },
  },
});
