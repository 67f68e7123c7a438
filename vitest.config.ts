import { defineConfig } from 'vitest/config';

/**
 * unit: pure code on virtual time, in parallel. system: real sockets, namespaces and foreign programs, one file at a
 * time, since they share the machine's two cores and its /run.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/{e2e,interop,native,openstack,monitoring,systemd,release}/**'],
          testTimeout: 60_000,
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
