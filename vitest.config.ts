import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    // A machine that is busy with something else must not fail what is right; a test that is wrong fails three times.
    retry: process.env.CI ? 2 : 0,
    hookTimeout: 60_000,
  },
});
