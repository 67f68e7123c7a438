import { createHash } from 'node:crypto';
import { createReadStream, mkdtempSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ROOT } from '../../repo/source-files.ts';
import { command } from '../../support/command.ts';
import { Services } from '../cloud/services.ts';

const IMAGE = process.env['DTUNNEL_IMAGE'] ?? join(ROOT, 'build/image');
const folder = mkdtempSync('/var/tmp/dtunnel-glance-');
const services = new Services(folder);

beforeAll(() => services.startGlance());
afterAll(() => {
  services.stop();
  rmSync(folder, { recursive: true, force: true });
});

it('build-image.sh uploads the qcow2 to a real Glance, whole and private', async () => {
  const env = services.clientEnvironment();
  const script = join(ROOT, 'config/dib/build-image.sh');
  const upload = await command('bash', [script, '-o', join(IMAGE, 'dtunnel'), '--upload-only'], {
    env,
    timeoutMs: 600_000,
  });
  expect(upload.status, `${upload.output}\n${services.log('glance')}`).toBe(0);
  const shown = await command('openstack', ['image', 'show', 'dtunnel', '--format', 'json'], { env });
  expect(shown.status, shown.output).toBe(0);
  const hash = createHash('sha512');
  for await (const part of createReadStream(join(IMAGE, 'dtunnel.qcow2'))) hash.update(part);
  expect(JSON.parse(shown.stdout)).toMatchObject({
    status: 'active',
    visibility: 'private',
    disk_format: 'qcow2',
    container_format: 'bare',
    size: statSync(join(IMAGE, 'dtunnel.qcow2')).size,
    properties: { os_hash_algo: 'sha512', os_hash_value: hash.digest('hex'), architecture: 'x86_64' },
  });
});
