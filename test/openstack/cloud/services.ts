import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { command } from '../../support/command.ts';

/** Where the cloud is: an address of the bridge that run.sh made, in a range for such tests (RFC 2544). */
export const CLOUD = '198.18.0.1';
/** Ports as in any installation. */
const PORTS = { keystone: 5000, heat: 8004, heatCfn: 8000, glance: 9292 } as const;
/** Address of the identity service. */
export const KEYSTONE = `http://${CLOUD}:${PORTS.keystone}/v3`;
/** One password for everybody: nobody else can reach these services. */
const PASSWORD = 'secret';

/** A token, and the services it opens. */
export interface Session {
  readonly token: string;
  readonly projectId: string;
}

/** Keystone, Heat and Glance as Debian packages them, each one process on SQLite. */
export class Services {
  readonly #folder: string;
  readonly #running: ChildProcess[] = [];
  /** Address that answers for Nova, Neutron and Glance. */
  readonly #standIn: string | undefined;

  /** Without `standIn`, Glance is the real one. */
  constructor(folder: string, standIn?: string) {
    this.#folder = folder;
    this.#standIn = standIn;
  }

  /** Starts keystone and Heat. */
  async startHeat(): Promise<void> {
    await this.#startKeystone();
    const domain = await this.#furnish();
    await this.#startHeat(domain);
  }

  /** Starts keystone and Glance. */
  async startGlance(): Promise<void> {
    await this.#startKeystone();
    await this.#furnish();
    await this.#startGlance();
  }

  /** What the command-line clients need to know to act as an ordinary project member. */
  clientEnvironment(): Readonly<Record<string, string>> {
    return {
      OS_AUTH_URL: KEYSTONE,
      OS_USERNAME: 'demo',
      OS_PASSWORD: PASSWORD,
      OS_PROJECT_NAME: 'demo',
      OS_USER_DOMAIN_ID: 'default',
      OS_PROJECT_DOMAIN_ID: 'default',
      OS_IDENTITY_API_VERSION: '3',
      OS_REGION_NAME: 'RegionOne',
    };
  }

  /** Logs in as an ordinary project member who may own stacks. */
  async login(user = 'demo', project = 'demo'): Promise<Session> {
    const scope = { project: { name: project, domain: { id: 'default' } } };
    const password = { user: { name: user, domain: { id: 'default' }, password: PASSWORD } };
    const response = await fetch(`${KEYSTONE}/auth/tokens`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ auth: { identity: { methods: ['password'], password }, scope } }),
    });
    if (!response.ok) throw new Error(`keystone: ${response.status} ${await response.text()}`);
    const { token }: { readonly token: { readonly project: Row } } = JSON.parse(await response.text());
    return { token: response.headers.get('x-subject-token') ?? '', projectId: token.project.id };
  }

  /** The end of a service's log, for a test that fails. */
  log(service: 'heat' | 'keystone' | 'glance', lines = 40): string {
    return readFileSync(join(this.#folder, `${service}.log`), 'utf8')
      .split('\n')
      .slice(-lines)
      .join('\n');
  }

  stop(): void {
    // Heat may spin on SIGTERM.
    for (const child of this.#running) if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }

  #serve(name: string, program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): void {
    const log = openSync(this.#path(`${name}.out`), 'a');
    const child = spawn(program, args, {
      detached: true,
      stdio: ['ignore', log, log],
      env: { ...process.env, ...env },
    });
    this.#running.push(child);
  }

  async #startKeystone(): Promise<void> {
    const config = this.#path('keystone.conf');
    for (const keys of ['fernet', 'credential']) mkdirSync(this.#path(keys), { mode: 0o700 });
    writeFileSync(
      config,
      `[DEFAULT]
log_file = ${this.#path('keystone.log')}
[database]
connection = sqlite:///${this.#path('keystone.db')}
[cache]
enabled = true
backend = dogpile.cache.memory
[identity]
password_hash_rounds = 4
[fernet_tokens]
key_repository = ${this.#path('fernet')}
[credential]
key_repository = ${this.#path('credential')}
`,
    );
    const manage = (...args: string[]) => must('/usr/bin/keystone-manage', ['--config-file', config, ...args]);
    await manage('db_sync');
    await writeAhead(this.#path('keystone.db'));
    await manage('fernet_setup', '--keystone-user', 'root', '--keystone-group', 'root');
    // Without version, as installers register it: Heat adds one by itself.
    const url = KEYSTONE.replace('/v3', '');
    const urls = ['public', 'internal', 'admin'].flatMap((kind) => [`--bootstrap-${kind}-url`, url]);
    await manage('bootstrap', '--bootstrap-password', PASSWORD, ...urls, '--bootstrap-region-id', 'RegionOne');
    // The package's own server: one process, one thread, a connection for each request, as SQLite needs it.
    this.#serve('keystone', '/usr/bin/keystone-wsgi-public', ['-b', CLOUD, '-p', String(PORTS.keystone), '--'], {
      OS_KEYSTONE_CONFIG_FILES: config,
    });
    await answers(KEYSTONE);
  }

  /** Makes what Heat needs to exist; yields its user domain. */
  async #furnish(): Promise<string> {
    const { token } = await this.login('admin', 'admin');
    const ask = async (method: string, path: string, body?: object): Promise<Readonly<Record<string, Row>>> => {
      const response = await fetch(`${KEYSTONE}${path}`, {
        method,
        headers: { 'x-auth-token': token, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      if (!response.ok) throw new Error(`keystone: ${method} ${path}: ${response.status} ${await response.text()}`);
      return response.status === 204 ? {} : JSON.parse(await response.text());
    };
    const role = async (name: string): Promise<string> => idIn(await ask('POST', '/roles', { role: { name } }));
    const user = async (name: string, domain = 'default'): Promise<string> =>
      idIn(await ask('POST', '/users', { user: { name, domain_id: domain, password: PASSWORD } }));
    const project = async (name: string): Promise<string> =>
      idIn(await ask('POST', '/projects', { project: { name, domain_id: 'default' } }));

    const domain = idIn(await ask('POST', '/domains', { domain: { name: 'heat' } }));
    const find = async (name: string): Promise<string> => {
      const response = await fetch(`${KEYSTONE}/roles?name=${name}`, { headers: { 'x-auth-token': token } });
      const { roles }: { readonly roles: readonly Row[] } = JSON.parse(await response.text());
      return roles[0]?.id ?? '';
    };
    const listed = new Map<string, string>();
    for (const name of ['admin', 'member']) {
      listed.set(name, await find(name));
    }
    const idOf = (name: string) => listed.get(name) ?? '';
    await ask('PUT', `/domains/${domain}/users/${await user('heat_domain_admin', domain)}/roles/${idOf('admin')}`);
    await role('heat_stack_user');
    await ask('PUT', `/projects/${await project('service')}/users/${await user('heat')}/roles/${idOf('admin')}`);
    const demo = { project: await project('demo'), user: await user('demo') };
    for (const id of [idOf('member'), await role('heat_stack_owner')]) {
      await ask('PUT', `/projects/${demo.project}/users/${demo.user}/roles/${id}`);
    }
    const catalog = {
      orchestration: `http://${CLOUD}:${PORTS.heat}/v1/%(tenant_id)s`,
      cloudformation: `http://${CLOUD}:${PORTS.heatCfn}/v1`,
      ...(this.#standIn === undefined
        ? { image: `http://${CLOUD}:${PORTS.glance}` }
        : {
            compute: `${this.#standIn}/compute/v2.1`,
            network: `${this.#standIn}/network`,
            image: `${this.#standIn}/image`,
          }),
    };
    for (const [type, url] of Object.entries(catalog)) {
      const service = idIn(await ask('POST', '/services', { service: { type, name: type } }));
      for (const face of ['public', 'internal', 'admin']) {
        const endpoint = { service_id: service, interface: face, url, region_id: 'RegionOne' };
        await ask('POST', '/endpoints', { endpoint });
      }
    }
    return domain;
  }

  async #startGlance(): Promise<void> {
    const config = this.#path('glance.conf');
    mkdirSync(this.#path('images'));
    writeFileSync(
      config,
      `[DEFAULT]
log_file = ${this.#path('glance.log')}
bind_host = ${CLOUD}
bind_port = ${PORTS.glance}
workers = 0
[database]
connection = sqlite:///${this.#path('glance.db')}
[glance_store]
stores = file
default_store = file
filesystem_store_datadir = ${this.#path('images')}
[paste_deploy]
flavor = keystone
config_file = /etc/glance/glance-api-paste.ini
[keystone_authtoken]
www_authenticate_uri = ${KEYSTONE}
auth_type = password
auth_url = ${KEYSTONE}
username = heat
password = ${PASSWORD}
user_domain_id = default
project_name = service
project_domain_id = default
`,
    );
    await must('/usr/bin/glance-manage', ['--config-file', config, 'db_sync']);
    await writeAhead(this.#path('glance.db'));
    this.#serve('glance', '/usr/bin/glance-api', ['--config-file', config]);
    await answers(`http://${CLOUD}:${PORTS.glance}/`);
  }

  async #startHeat(domain: string): Promise<void> {
    const config = this.#path('heat.conf');
    for (const folder of ['environments', 'templates']) mkdirSync(this.#path(folder));
    const service = `auth_type = password
auth_url = ${KEYSTONE}
username = heat
password = ${PASSWORD}
user_domain_id = default
`;
    writeFileSync(
      config,
      `[DEFAULT]
log_file = ${this.#path('heat.log')}
transport_url = fake://
# One process without a message bus cannot do convergence: an update would wait for ever.
convergence_engine = false
num_engine_workers = 1
auth_encryption_key = 0123456789abcdef0123456789abcdef
stack_user_domain_id = ${domain}
stack_domain_admin = heat_domain_admin
stack_domain_admin_password = ${PASSWORD}
region_name_for_services = RegionOne
server_keystone_endpoint_type = public
heat_metadata_server_url = http://${CLOUD}:${PORTS.heatCfn}
heat_waitcondition_server_url = http://${CLOUD}:${PORTS.heatCfn}/v1/waitcondition
plugin_dirs = ${join(import.meta.dirname, 'plugins')}
environment_dir = ${this.#path('environments')}
template_dir = ${this.#path('templates')}
[database]
connection = sqlite:///${this.#path('heat.db')}
[oslo_concurrency]
lock_path = ${this.#folder}
[heat_all]
enabled_services = engine,api,api_cfn
[heat_api]
bind_host = ${CLOUD}
bind_port = ${PORTS.heat}
workers = 1
[heat_api_cfn]
bind_host = ${CLOUD}
bind_port = ${PORTS.heatCfn}
workers = 1
[paste_deploy]
api_paste_config = /etc/heat/api-paste.ini
[keystone_authtoken]
www_authenticate_uri = ${KEYSTONE}
project_name = service
project_domain_id = default
${service}[trustee]
${service}[clients_keystone]
auth_uri = http://${CLOUD}:${PORTS.keystone}
`,
    );
    await must('/usr/bin/heat-manage', ['--config-file', config, 'db_sync']);
    await writeAhead(this.#path('heat.db'));
    this.#serve('heat', '/usr/bin/heat-all', ['--config-file', config]);
    await answers(`http://${CLOUD}:${PORTS.heat}/`);
  }
}

/** Something keystone keeps. */
interface Row {
  readonly id: string;
}

/** The id of the only thing in an answer. */
function idIn(answer: Readonly<Record<string, Row>>): string {
  return Object.values(answer)[0]?.id ?? '';
}

/** Lets readers and one writer work side by side; without it even one process locks itself out of its database. */
async function writeAhead(file: string): Promise<void> {
  await must('/usr/bin/python3', [
    '-c',
    `import sqlite3; sqlite3.connect('${file}').execute('pragma journal_mode=wal')`,
  ]);
}

async function must(program: string, args: readonly string[]): Promise<void> {
  const { status, output } = await command(program, args, { timeoutMs: 300_000 });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${output}`);
}

async function answers(url: string): Promise<void> {
  // Three minutes for what takes two seconds on a machine of one's own.
  for (const end = Date.now() + 180_000; Date.now() < end; ) {
    const answered = await fetch(url).then(
      (response) => response.status < 500,
      () => false,
    );
    if (answered) return;
    await delay(100);
  }
  throw new Error(`${url} does not answer`);
}
