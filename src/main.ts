#!/usr/bin/env node
import { runCli } from './cli/args.ts';

// `dtunnel status | head`: whoever reads has seen enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

// The one place where the process ends on purpose: pending output is written first.
const status = await runCli(process.argv.slice(2));
process.stdout.write('', () => process.stderr.write('', () => process.exit(status)));
