import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { filesBelow, ROOT } from '../../repo/source-files.ts';
import { command, lacks, type Outcome } from '../../support/command.ts';

const ELEMENTS = join(ROOT, 'config/dib/elements');
const AGENT = join(ELEMENTS, 'dtunnel-heat-agent/static');

/** A deployment as Heat describes it to the instance. */
interface Deployment {
  readonly id: string;
  readonly name?: string;
  readonly group: string;
  readonly config: unknown;
  readonly options?: unknown;
  readonly inputs?: readonly { readonly name: string; readonly value: unknown; readonly type?: string }[];
  readonly outputs?: readonly { readonly name: string }[];
}

/** Heat's end of CFN_SIGNAL: keeps what it takes, refuses as long as it is told to. */
class SignalServer {
  readonly taken: Record<string, unknown>[] = [];
  refusals = 0;
  #server: Server | undefined;

  async listen(): Promise<void> {
    const server = createServer((request, response) => {
      let body = '';
      request.on('data', (part) => {
        body += part;
      });
      request.on('end', () => {
        if (this.refusals > 0) {
          this.refusals -= 1;
          response.writeHead(503).end();
        } else {
          this.taken.push({ path: request.url, verb: request.method, ...JSON.parse(body) });
          response.writeHead(200).end();
        }
      });
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  }

  get address(): string {
    const at = this.#server?.address();
    return typeof at === 'object' && at !== null ? `http://127.0.0.1:${at.port}` : '';
  }

  close(): void {
    this.#server?.close();
  }
}

describe.skipIf(lacks('Heat agent', { 'os-apply-config': 'python3-os-apply-config' }))('55-heat-config', () => {
  const heat = new SignalServer();
  let root = '';

  beforeEach(async () => {
    root = mkdtempSync(join(tmpdir(), 'dtunnel-agent-'));
    heat.taken.length = 0;
    heat.refusals = 0;
    await heat.listen();
  });
  afterEach(() => {
    heat.close();
    rmSync(root, { recursive: true });
  });

  /** One poll: what os-refresh-config runs when os-collect-config has found these deployments. */
  function poll(...deployments: readonly Deployment[]): Promise<Outcome> {
    const metadata = join(root, 'metadata.json');
    writeFileSync(metadata, JSON.stringify({ deployments }));
    return command(join(AGENT, 'usr/libexec/os-refresh-config/configure.d/55-heat-config'), [], {
      env: {
        OS_CONFIG_FILES: metadata,
        HEAT_CONFIG_STATE: join(root, 'deployed'),
        HEAT_CONFIG_HOOKS: join(AGENT, 'usr/libexec/heat-config/hooks'),
        HEAT_CONFIG_NOTIFY: join(AGENT, 'usr/bin/heat-config-notify'),
        HEAT_HOOK_WORK: join(root, 'work'),
        HEAT_HOOK_OUTPUTS: join(root, 'outputs'),
        PYTHONPATH: join(AGENT, 'usr/libexec/heat-config'),
        PYTHONDONTWRITEBYTECODE: '1',
        COUNT: join(root, 'count'),
      },
    });
  }

  /** A deployment of a shell script that notes each of its runs. */
  function script(id: string, text: string, more: Partial<Deployment> = {}): Deployment {
    return {
      id,
      group: 'script',
      config: `#!/bin/sh\necho run >> "$COUNT"\n${text}\n`,
      ...more,
      inputs: [
        { name: 'deploy_signal_id', value: `${heat.address}/signal/${id}` },
        { name: 'deploy_signal_transport', value: 'CFN_SIGNAL' },
        ...(more.inputs ?? []),
      ],
    };
  }

  function runs(): number {
    const file = join(root, 'count');
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').length : 0;
  }

  it('runs a deployment once and reports what it wrote', async () => {
    const step = script('one', 'echo said; echo warned >&2; printf up > "$heat_outputs_path.state"', {
      outputs: [{ name: 'state' }, { name: 'error' }],
    });
    expect((await poll(step)).status).toBe(0);
    expect((await poll(step)).status).toBe(0);
    expect(runs()).toBe(1);
    expect(heat.taken).toEqual([
      {
        path: '/signal/one',
        verb: 'POST',
        deploy_stdout: 'said\n',
        deploy_stderr: 'warned\n',
        deploy_status_code: 0,
        state: 'up',
      },
    ]);
  });

  it('sends a result again that Heat did not take, without running anything again', async () => {
    const step = script('one', 'true');
    heat.refusals = 2;
    expect((await poll(step)).status).toBe(1);
    expect((await poll(step)).status).toBe(1);
    expect(heat.taken).toHaveLength(0);
    expect((await poll(step)).status).toBe(0);
    expect(heat.taken).toHaveLength(1);
    expect(runs()).toBe(1);
  });

  it('is held up in nothing by one result that cannot be sent', async () => {
    heat.refusals = 1;
    expect((await poll(script('one', 'true'), script('two', 'true'))).status).toBe(1);
    expect(heat.taken.map((signal) => signal['path'])).toEqual(['/signal/two']);
    expect(runs()).toBe(2);
  });

  it('runs the next action of the same deployment, which comes under a new id', async () => {
    await poll(script('create', 'true'));
    await poll(script('delete', 'true'));
    expect(runs()).toBe(2);
  });

  it('reports a script that fails, with its status and last words', async () => {
    await poll(script('one', 'echo "no space" >&2; exit 3'));
    expect(heat.taken[0]).toMatchObject({ deploy_status_code: 3, deploy_stderr: 'no space\n' });
  });

  it('reports a group without a hook at once instead of leaving Heat waiting', async () => {
    const missing = { ...script('one', 'true'), group: 'chef' };
    expect((await poll(missing)).status).toBe(0);
    expect(heat.taken[0]).toMatchObject({ deploy_status_code: 1, deploy_stderr: expect.stringContaining("'chef'") });
    expect(runs()).toBe(0);
  });

  it.each(['../../bin/sh', '/bin/sh', ''])('never takes group %j for a path', async (group) => {
    await poll({ ...script('one', 'true'), group });
    expect(heat.taken[0]).toMatchObject({ deploy_status_code: 1 });
    expect(runs()).toBe(0);
  });

  it('ignores a deployment whose id would lead out of its folder', async () => {
    expect((await poll(script('../../etc/x', 'true'))).status).toBe(0);
    expect(runs()).toBe(0);
  });

  it('begins again after a reboot in the middle only what may be repeated', async () => {
    mkdirSync(join(root, 'deployed'), { recursive: true });
    for (const id of ['one', 'two']) writeFileSync(join(root, 'deployed', `${id}.started`), '{}');
    await poll(script('one', 'true'), script('two', 'true', { options: { repeatable: true } }));
    expect(runs()).toBe(1);
    expect(heat.taken[0]).toMatchObject({ path: '/signal/one', deploy_status_code: 1 });
    expect(heat.taken[1]).toMatchObject({ path: '/signal/two', deploy_status_code: 0 });
  });

  it.each([
    ['Number', 30, '30'],
    ['Number', 1.5, '1.5'],
    ['Boolean', true, 'True'],
    ['Json', { a: [1] }, '{"a": [1]}'],
    ['CommaDelimitedList', ['a', 'b'], '["a", "b"]'],
    ['String', 'two\nlines "and" $quotes', 'two\nlines "and" $quotes'],
    ['String', null, ''],
  ])('hands an input of type %s over as text: %j', async (type, value, text) => {
    const inputs = [{ name: 'given', value, type }];
    await poll(script('one', 'printf "[%s]" "$given"', { inputs }));
    expect(heat.taken[0]).toMatchObject({ deploy_stdout: `[${text}]` });
  });

  it('keeps inputs that cannot be variables out of the environment', async () => {
    const inputs = [{ name: 'LD PRELOAD=', value: 'x' }];
    await poll(script('one', 'env | grep -c PRELOAD', { inputs }));
    expect(heat.taken[0]).toMatchObject({ deploy_stdout: '0\n' });
  });

  it('sends the end of what is too long for Heat', async () => {
    await poll(script('one', 'yes | head -c 3000000; echo last'));
    expect(String(heat.taken[0]?.['deploy_stdout'])).toHaveLength(64 * 1024);
    expect(String(heat.taken[0]?.['deploy_stdout'])).toMatch(/last\n$/);
  });

  it('keeps results, which may be confidential, from other users', async () => {
    await poll(script('one', 'true'));
    expect(statSync(join(root, 'deployed')).mode & 0o077).toBe(0);
    expect(statSync(join(root, 'work', 'one')).mode & 0o077).toBe(0);
  });

  it('says nothing of the address, which is a credential, when a signal fails', async () => {
    heat.refusals = 1;
    const { output } = await poll(script('one', 'true'));
    expect(output).toContain('refused with status 503');
    expect(output).not.toContain('/signal/one');
  });
});

describe.skipIf(lacks('Heat agent', { 'os-apply-config': 'python3-os-apply-config' }))('os-collect-config.conf', () => {
  let root = '';
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'dtunnel-agent-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  async function render(metadata: object): Promise<string> {
    const file = join(root, 'metadata.json');
    writeFileSync(file, JSON.stringify(metadata));
    const templates = join(AGENT, 'usr/libexec/os-apply-config/templates');
    const { status, output } = await command('os-apply-config', ['-t', templates, '-o', root], {
      env: { OS_CONFIG_FILES: file },
    });
    expect(status, output).toBe(0);
    const path = join(root, 'etc/os-collect-config.conf');
    expect(statSync(path).mode & 0o077).toBe(0);
    return readFileSync(path, 'utf8');
  }

  it('follows polling interval and credentials of the metadata', async () => {
    const heat = {
      auth_url: 'http://keystone:5000/v3',
      user_id: 'u',
      password: 'p<&>',
      project_id: 'p',
      stack_id: 'gateway/1',
      resource_name: 'server',
    };
    const text = await render({ 'os-collect-config': { polling_interval: 7, collectors: ['ec2', 'heat'], heat } });
    expect(text).toContain('polling_interval = 7\n');
    expect(text).toMatch(/collectors = heat_local\ncollectors = ec2\ncollectors = heat\n/);
    expect(text).toMatch(/\n\[heat\]\nauth_url = http:\/\/keystone:5000\/v3\nuser_id = u\npassword = p<&>\n/);
    expect(text).not.toMatch(/\[cfn\]|\[request\]/);
  });

  it('needs no metadata at all', async () => {
    expect(await render({})).toMatch(/\[DEFAULT\]\ncommand = os-refresh-config\n/);
  });
});

describe('elements', () => {
  it('have executable hooks and no stray files', () => {
    for (const { path } of filesBelow('config/dib', [''])) {
      const runs =
        /\/(\w+-?\w+\.d|hooks|bin)\/[^/]+$|build-image\.sh$/.test(path) &&
        !/environment\.d|\.oac$|static\/etc\//.test(path);
      const executable = (statSync(join(ROOT, path)).mode & 0o111) !== 0;
      expect(executable, path).toBe(runs);
    }
  });

  it('explain themselves', () => {
    for (const name of readdirSync(ELEMENTS)) expect(existsSync(join(ELEMENTS, name, 'README.md')), name).toBe(true);
  });
});
