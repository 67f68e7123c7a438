import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ROOT } from '../../repo/source-files.ts';
import { command, lacks } from '../../support/command.ts';

const ELEMENTS = join(ROOT, 'config/dib/elements');

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'dtunnel-hook-'));
});
afterEach(() => rmSync(root, { recursive: true }));

/** Gives a deployment to the hook of its group, as 55-heat-config does. */
async function deploy(
  group: string,
  config: unknown,
  inputs: Readonly<Record<string, unknown>> = {},
  env: Readonly<Record<string, string>> = {},
): Promise<Record<string, unknown>> {
  const hook = join(ELEMENTS, `dtunnel-hook-${group}/static/usr/libexec/heat-config/hooks`, group);
  const deployment = {
    id: 'id-1',
    group,
    config,
    inputs: Object.entries(inputs).map(([name, value]) => ({ name, value })),
    outputs: [{ name: 'result' }, { name: 'never' }],
  };
  const { status, stdout, output } = await command('/usr/bin/python3', [hook], {
    stdin: JSON.stringify(deployment),
    timeoutMs: 120_000,
    env: {
      HEAT_HOOK_WORK: join(root, 'work'),
      HEAT_HOOK_OUTPUTS: join(root, 'outputs'),
      PYTHONPATH: join(ELEMENTS, 'dtunnel-heat-agent/static/usr/libexec/heat-config'),
      PYTHONDONTWRITEBYTECODE: '1',
      HOME: root,
      ...env,
    },
  });
  expect(status, output).toBe(0);
  return JSON.parse(stdout);
}

describe.skipIf(lacks('cfn-init hook', { 'cfn-init': 'heat-cfntools' }))('cfn-init', () => {
  it('writes the files and runs the commands of the deployment', async () => {
    const file = join(root, 'made');
    const answer = await deploy(
      'cfn-init',
      {
        config: {
          files: { [file]: { content: 'made by cfn-init', mode: '000600' } },
          commands: { '01_report': { command: 'printf "%s" "$given" > "$heat_outputs_path.result"' } },
        },
      },
      { given: 42 },
    );
    expect(answer).toMatchObject({ deploy_status_code: 0, result: '42' });
    expect(answer).not.toHaveProperty('never');
    expect(readFileSync(file, 'utf8')).toBe('made by cfn-init');
  });

  it('fails when a command fails', async () => {
    const answer = await deploy('cfn-init', { config: { commands: { only: { command: 'exit 4' } } } });
    expect(answer['deploy_status_code']).toBe(1);
    expect(answer['deploy_stderr']).toContain('only');
  });

  it.each([['not json'], [[]]])('fails on a config that is none: %j', async (config) => {
    expect(await deploy('cfn-init', config)).toMatchObject({ deploy_status_code: 1 });
  });
});

describe.skipIf(lacks('puppet hook', { puppet: 'puppet-agent' }))('puppet', () => {
  it('applies the manifest with inputs as facts', async () => {
    const manifest = `file { "\${facts['heat_outputs_path']}.result": content => "got \${facts['given']}" }`;
    const answer = await deploy('puppet', manifest, { given: 'this' });
    expect(answer).toMatchObject({ deploy_status_code: 0, result: 'got this' });
  });

  it('fails when the manifest does', async () => {
    expect(await deploy('puppet', 'fail("on purpose")')).toMatchObject({
      deploy_status_code: 1,
      deploy_stderr: expect.stringContaining('on purpose'),
    });
  });
});

describe('without its interpreter', () => {
  it.each([
    ['puppet', 'puppet-agent'],
    ['salt', 'salt-minion'],
  ])('the %s hook says what to install', async (group, debian) => {
    const answer = await deploy(group, '', {}, { PATH: '/nonexistent' });
    expect(answer).toMatchObject({ deploy_status_code: 1, deploy_stderr: expect.stringContaining(debian) });
  });

  it('the cfn-init hook says what to install', async () => {
    // An empty package of the same name stands before the installed one.
    const answer = await deploy('cfn-init', {}, {}, { PYTHONPATH: [await emptyModule(), supportFolder()].join(':') });
    expect(answer).toMatchObject({ deploy_status_code: 1, deploy_stderr: expect.stringContaining('heat-cfntools') });
  });
});

it('the salt element stops the build of an image whose sources have no salt, and says what to do', async () => {
  await writeFile(join(root, 'apt-get'), '#!/bin/sh\necho "E: Unable to locate package salt-minion" >&2\nexit 100\n', {
    mode: 0o755,
  });
  const install = join(ELEMENTS, 'dtunnel-hook-salt/install.d/50-salt-minion');
  const { status, stderr } = await command(install, [], { env: { PATH: `${root}:${process.env['PATH']}` } });
  expect(status).toBe(1);
  expect(stderr).toContain('DIB_APT_SOURCES_CONF');
});

async function emptyModule(): Promise<string> {
  const folder = join(root, 'modules');
  await command('mkdir', ['-p', join(folder, 'heat_cfntools')]);
  await command('touch', [join(folder, 'heat_cfntools/__init__.py')]);
  return folder;
}

function supportFolder(): string {
  return join(ELEMENTS, 'dtunnel-heat-agent/static/usr/libexec/heat-config');
}
