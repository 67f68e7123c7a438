import { defineConfig } from 'vitest/config';

const suite = process.env['DTUNNEL_SUITE'] ?? 'openstack';

/** Tests against real OpenStack services; run by run.sh, which makes the namespaces they need. */
export default defineConfig({
  test: {
    include: [
      `test/openstack/${suite}/**/*.test.ts`,
      // Here the interpreters of all hooks are installed; a plain `npm test` leaves out those that it lacks.
      ...(suite === 'openstack' ? ['test/openstack/quick/hooks.test.ts'] : []),
    ],
    fileParallelism: false,
    testTimeout: 900_000,
    hookTimeout: 900_000,
    reporters: ['verbose'],
  },
});
