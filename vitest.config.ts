import { defineConfig } from 'vitest/config';

/** Where the machine-readable report goes besides the terminal; `.ci/run` counts from it. */
const report = process.env['DTUNNEL_TEST_REPORT'];

/**
 * unit: pure code on virtual time, in parallel. system: real sockets, namespaces and foreign programs, one file at a
 * time, since they share the machine's cores and its /run.
 */
export default defineConfig({
  test: {
    reporters: report === undefined ? ['default'] : ['default', ['json', { outputFile: report }]],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/{e2e,interop,native,openstack,monitoring,systemd,release}/**'],
          testTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/{e2e,interop,native,monitoring,systemd}/**/*.test.ts', 'test/openstack/quick/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
