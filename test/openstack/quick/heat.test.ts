import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../../repo/source-files.ts';
import { command } from '../../support/command.ts';

const HEAT = join(ROOT, 'config/heat');
const TEMPLATES = ['gateway.yaml', 'ha-pair.yaml', 'autoscaling.yaml'];

/** What an operator has to give, and a peer with two subnets. */
const PARAMETERS = {
  image: 'dtunnel',
  flavor: 'm1.small',
  key_name: 'operator',
  external_network: 'public',
  inside_network: 'lan',
  inside_cidr: '10.1.0.0/16',
  inside_router: 'router',
  remote_subnets: '172.31.0.2/32,10.2.0.0/16',
};

/** A resource as Heat understood it. */
interface Resource {
  readonly type: string;
  readonly requires: readonly string[];
  readonly actions?: readonly string[];
  readonly inputs?: readonly string[];
  readonly outputs?: readonly string[];
  readonly nested?: readonly string[];
}

/** A template that Heat accepts, or the reason why it does not. */
type Verdict =
  | {
      readonly accepted: true;
      readonly resources: Readonly<Record<string, Resource>>;
      readonly outputs: readonly string[];
    }
  | { readonly accepted: false; readonly reason: string };

/** All questions to Heat, put in one go since its modules take seconds to load. */
class Questions {
  readonly #cases: (readonly [string, Readonly<Record<string, unknown>>])[] = [];
  readonly #folders: string[] = [];
  #answers: readonly Verdict[] = [];

  /** Asks for a verdict; the function yields it once `put` has run. */
  ask(template: string, parameters: Readonly<Record<string, unknown>>): () => Verdict {
    const at = this.#cases.push([template, parameters]) - 1;
    return () => this.#answers[at] ?? { accepted: false, reason: 'not asked' };
  }

  /** As `ask`, about `template` in a copy of the folder in which `file` says `bad` instead of `good`. */
  askDamaged(template: string, file: string, good: string, bad: string): () => Verdict {
    const folder = mkdtempSync(join(tmpdir(), 'dtunnel-heat-'));
    this.#folders.push(folder);
    cpSync(HEAT, folder, { recursive: true });
    const text = readFileSync(join(folder, file), 'utf8');
    if (!text.includes(good)) throw new Error(`${file} does not say: ${good}`);
    writeFileSync(join(folder, file), text.replace(good, bad));
    return this.ask(join(folder, template), PARAMETERS);
  }

  async put(): Promise<void> {
    const program = join(import.meta.dirname, 'validate_templates.py');
    const done = await command('/usr/bin/python3', [program], {
      stdin: JSON.stringify(this.#cases),
      timeoutMs: 120_000,
    });
    for (const folder of this.#folders) rmSync(folder, { recursive: true });
    if (done.status !== 0) throw new Error(done.stderr);
    const answers: readonly { readonly refused?: string }[] = JSON.parse(done.stdout);
    this.#answers = answers.map((a) =>
      a.refused === undefined ? accepted(a) : { accepted: false, reason: a.refused },
    );
  }
}

/** True, after printing why, where Heat's modules are not installed; its programs are not needed. */
function withoutHeat(): boolean {
  const missing = !existsSync('/usr/lib/python3/dist-packages/heat/engine/stack.py');
  if (missing) console.warn('skipped: Heat templates: not installed: python3-heat');
  return missing;
}

function accepted(answer: object): Verdict {
  return { accepted: true, resources: {}, outputs: [], ...answer };
}

/** The accepted template; fails the test with Heat's reason otherwise. */
function sound(verdict: Verdict): Verdict & { readonly accepted: true } {
  if (!verdict.accepted) throw new Error(verdict.reason);
  return verdict;
}

describe('actions of deployments', () => {
  // Heat stores a misspelt action without a word and never carries it out, so it is checked here.
  it.each(TEMPLATES)('%s names only actions that exist, and a life cycle names all', (name) => {
    const text = readFileSync(join(HEAT, name), 'utf8');
    const named = [...text.matchAll(/^\s+actions: \[(.*)\]$/gm)].map((m) => (m[1] ?? '').split(', '));
    expect(named).toHaveLength(text.match(/type: OS::Heat::SoftwareDeployment$/gm)?.length ?? 0);
    for (const actions of named) expect(actions).toEqual(['CREATE', 'UPDATE', 'SUSPEND', 'RESUME', 'DELETE']);
  });

  it('are those that the script knows', () => {
    const script = readFileSync(join(HEAT, 'scripts/lifecycle.sh'), 'utf8');
    const known = [...script.matchAll(/^ {4}([A-Z| ]+)\) /gm)].flatMap((m) => (m[1] ?? '').split(' | '));
    expect(known.toSorted()).toEqual(['CREATE', 'DELETE', 'RESUME', 'SUSPEND', 'UPDATE']);
  });
});

describe('parameters', () => {
  it.each(TEMPLATES)('%s explains and constrains each of them', (name) => {
    const section = /\nparameters:\n([\s\S]*?)\n(?=\S)/.exec(readFileSync(join(HEAT, name), 'utf8'))?.[1] ?? '';
    const parameters = section.split(/^ {2}(?=\w+:$)/m).slice(1);
    expect(parameters.length).toBeGreaterThan(15);
    for (const parameter of parameters) {
      expect(parameter).toMatch(/ description: /);
      // Booleans need no constraint, and lists are checked item by item where they are used.
      if (!/type: (boolean|comma_delimited_list)|^more_peers:/.test(parameter)) {
        expect(parameter).toMatch(/ constraints:/);
      }
    }
  });

  it.each(TEMPLATES)('%s carries no secret', (name) => {
    expect(readFileSync(join(HEAT, name), 'utf8')).not.toMatch(/hidden: true|private_key:|password:/);
  });
});

describe.skipIf(withoutHeat())('Heat itself', () => {
  const questions = new Questions();
  beforeAll(() => questions.put());

  describe('accepts', () => {
    for (const name of TEMPLATES) {
      const verdict = questions.ask(join(HEAT, name), PARAMETERS);
      it(name, () => expect(sound(verdict()).outputs).not.toEqual([]));
    }

    const { remote_subnets: _, inside_router: __, ...least } = PARAMETERS;
    const begun = questions.ask(join(HEAT, 'gateway.yaml'), least);
    it('a gateway whose peer is not known yet', () => {
      expect(Object.keys(sound(begun()).resources)).not.toContain('routes');
    });

    for (const form of [`${'ab:'.repeat(31)}ab`, 'AB'.repeat(32), `SHA256:${'A'.repeat(43)}=`]) {
      const verdict = questions.ask(join(HEAT, 'gateway.yaml'), { ...PARAMETERS, peer_fingerprint: form });
      it(`the fingerprint ${form.slice(0, 10)}…`, () => expect(verdict()).toMatchObject({ accepted: true }));
    }

    const example = readFileSync(join(HEAT, 'environment.example.yaml'), 'utf8');
    const given = [...example.matchAll(/^ {2}(\w+): '?([^'\n]*)'?$/gm)].map((m) => [m[1], m[2]]);
    const verdict = questions.ask(join(HEAT, 'gateway.yaml'), Object.fromEntries(given));
    it('the parameters of the example environment', () => expect(verdict()).toMatchObject({ accepted: true }));
  });

  describe('orders', () => {
    const gateway = questions.ask(join(HEAT, 'gateway.yaml'), PARAMETERS);
    const pair = questions.ask(join(HEAT, 'ha-pair.yaml'), PARAMETERS);

    it('the drain before address, routes and port go', () => {
      const { lifecycle, lifecycle_config: config } = sound(gateway()).resources;
      const needed = ['floating_ip', 'inside_port', 'lifecycle_config', 'routes', 'server'];
      expect(lifecycle?.requires).toEqual(needed);
      expect(lifecycle?.inputs).toEqual(config?.inputs);
    });

    it('the members of a pair one after the other', () => {
      const { member_a: a, member_b: b } = sound(pair()).resources;
      expect(b?.requires).toContain('member_a');
      expect(a?.nested).toContain('lifecycle');
    });
  });

  describe('refuses', () => {
    for (const [name, value] of [
      ['port', 0],
      ['port', 65536],
      ['allowed_cidr', '10.0.0.0/33'],
      ['inside_cidr', 'lan'],
      ['mtu', 'large'],
      ['tunnel_name', 'a b'],
      ['peer_fingerprint', 'ab:cd'],
      ['peer_address', 'host; rm'],
      ['drain_timeout', 601],
      ['ready_timeout', 1],
      ['poll_interval', 0],
      ['admin_root_login', 'perhaps'],
      ['software_config_transport', 'CARRIER_PIGEON'],
      ['signal_transport', 'NO_SIGNAL'],
    ] as const) {
      const verdict = questions.ask(join(HEAT, 'gateway.yaml'), { ...PARAMETERS, [name]: value });
      it(`${name} = ${value}`, () => {
        expect(verdict()).toMatchObject({ accepted: false, reason: expect.stringContaining(name) });
      });
    }

    for (const [file, good, bad] of [
      ['gateway.yaml', 'get_resource: access', 'get_resource: acces'],
      ['gateway.yaml', 'type: OS::Neutron::FloatingIP', 'type: OS::Neutron::FloatIP'],
      ['gateway.yaml', 'port_id:', 'portid:'],
      ['gateway.yaml', 'get_file: scripts/lifecycle.sh', 'get_file: scripts/life.sh'],
      ['gateway.yaml', 'actions: [CREATE, UPDATE', 'actions: [CREATE, UPGRADE'],
      ['ha-pair.yaml', 'depends_on: member_a', 'depends_on: member_c'],
      ['autoscaling.yaml', 'max_size:', 'maximum:'],
    ] as const) {
      const verdict = questions.askDamaged(file, file, good, bad);
      it(`${file} with ${bad}`, () => expect(verdict()).toMatchObject({ accepted: false }));
    }

    for (const file of ['ha-pair.yaml', 'autoscaling.yaml']) {
      const verdict = questions.askDamaged(file, 'gateway.yaml', 'port_id:', 'portid:');
      it(`a mistake in a member of ${file}`, () => expect(verdict()).toMatchObject({ accepted: false }));
      const action = questions.askDamaged(file, 'gateway.yaml', 'SUSPEND, RESUME', 'SUSPEND, RESUMED');
      it(`an action that Heat does not have in a member of ${file}`, () =>
        expect(action()).toMatchObject({ accepted: false, reason: expect.stringContaining('RESUMED') }));
    }
  });
});
