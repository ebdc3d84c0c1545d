import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/print-seed.ts',
    setupFiles: 'test/support/seed.ts',
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
