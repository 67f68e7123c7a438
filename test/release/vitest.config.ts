import { defineConfig } from 'vitest/config';

/** Builds the release artefacts and installs them into clean systems; run by `npm run test:release`, as root. */
export default defineConfig({
  test: {
    include: ['test/release/**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 1_800_000,
    reporters: ['verbose'],
  },
});
