import { defineConfig } from 'vitest/config';

/** Tests against real OpenStack services; run by run.sh, which makes the namespaces they need. */
export default defineConfig({
  test: {
    include: [`test/openstack/${process.env['DTUNNEL_SUITE'] ?? 'openstack'}/**/*.test.ts`],
    fileParallelism: false,
    testTimeout: 900_000,
    hookTimeout: 900_000,
    reporters: ['verbose'],
  },
});
