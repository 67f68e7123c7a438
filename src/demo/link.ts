import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { builtProgram } from './built.ts';
import type { Finished } from './enclosure.ts';
import type { Family } from './measure.ts';
import { farSite, type Rig, type Site } from './rig.ts';

/** What a configuration says beside the usual; keys as in the file, a value of undefined leaves the usual line out. */
export interface ConfigChanges {
  readonly interface?: Readonly<Record<string, string | undefined>>;
  readonly peer?: Readonly<Record<string, string | undefined>>;
}

/** How the ends find each other. */
export interface LinkOptions {
  /** Whose file names the other's address: paris as in the manual (berlin only listens), or both. */
  readonly callers?: 'paris' | 'both';
  /** Which family the tunnel's own datagrams use. */
  readonly outer?: Family;
}

/**
 * A dtunnel link across a rig, driven as an operator would: keys by `dtunnel keygen`, one configuration file at each
 * end, and the real commands. Everything lies in the enclosure and goes with it.
 */
export class Link {
  readonly rig: Rig;
  readonly #options: Required<LinkOptions>;
  /** Of the certificate at each site, by site name. */
  readonly #fingerprints = new Map<string, string>();

  private constructor(rig: Rig, options: LinkOptions) {
    this.rig = rig;
    this.#options = { callers: options.callers ?? 'paris', outer: options.outer ?? 4 };
  }

  /** Makes keys and configuration files for both ends; nothing is started. */
  static async prepare(rig: Rig, options: LinkOptions = {}): Promise<Link> {
    const link = new Link(rig, options);
    mkdirSync(rig.enclosure.path(FOLDER), { recursive: true, mode: 0o700 });
    await Promise.all([link.#makeKeys(rig.berlin), link.#makeKeys(rig.paris)]);
    for (const here of [rig.berlin, rig.paris]) link.configure(here);
    return link;
  }

  /** Runs a dtunnel command in the gateway of `here`. Throws when it fails, unless told not to. */
  dtunnel(
    here: Site,
    args: readonly string[],
    options: { readonly failureOk?: boolean; readonly timeoutMs?: number } = {},
  ): Promise<Finished> {
    return this.rig.enclosure.run([process.execPath, builtProgram('main.js'), ...args], {
      netns: here.gateway,
      env: ENVIRONMENT,
      ...options,
    });
  }

  /** Starts `dtunnel run` at `here` in the foreground; the caller ends it. */
  run(here: Site): ChildProcess {
    return this.rig.enclosure.start([process.execPath, builtProgram('main.js'), 'run', this.file(here)], {
      netns: here.gateway,
      env: ENVIRONMENT,
    });
  }

  /** Writes the configuration of `here` anew with `changes`; a running daemon sees it at the next reload. */
  configure(here: Site, changes: ConfigChanges = {}): void {
    this.write(here, this.#config(here, changes));
  }

  /** Replaces the configuration file of `here` by any text. */
  write(here: Site, text: string): void {
    writeFileSync(this.rig.enclosure.path(this.file(here)), text, { mode: 0o600 });
  }

  /** The configuration file of `here`, as a path inside the enclosure. */
  file(here: Site): string {
    return `${FOLDER}/${here.name}.conf`;
  }

  /** The text of that file as it is. */
  text(here: Site): string {
    return readFileSync(this.rig.enclosure.path(this.file(here)), 'utf8');
  }

  /** The fingerprint of the certificate of `here`. */
  fingerprint(here: Site): string {
    return this.#fingerprints.get(here.name) ?? '';
  }

  /** The usual AllowedIPs at `here`: the other gateway's inner addresses and its LAN. */
  allowedIps(here: Site): string {
    const there = farSite(this.rig, here);
    const inner = [there.inner4, there.inner6].map((one) => one.replace('/30', '/32').replace('/126', '/128'));
    return [...inner, there.lan4, there.lan6].join(', ');
  }

  async #makeKeys(here: Site): Promise<void> {
    const { stdout } = await this.dtunnel(here, ['keygen', here.name, '--json']);
    this.#fingerprints.set(here.name, String(JSON.parse(stdout).fingerprint));
  }

  #config(here: Site, changes: ConfigChanges): string {
    const there = farSite(this.rig, here);
    const calls = this.#options.callers === 'both' || here.name === 'paris';
    const address = this.#options.outer === 4 ? there.public4 : `[${there.public6}]`;
    const general: Readonly<Record<string, string | undefined>> = {
      Address: `${here.inner4}, ${here.inner6}`,
      ListenPort: String(PORT),
      Certificate: `${FOLDER}/${here.name}.crt`,
      PrivateKey: `${FOLDER}/${here.name}.key`,
      ...changes.interface,
    };
    const peer: Readonly<Record<string, string | undefined>> = {
      Name: there.name,
      Fingerprint: this.fingerprint(there),
      Endpoint: calls ? `${address}:${PORT}` : undefined,
      AllowedIPs: this.allowedIps(here),
      ...changes.peer,
    };
    return `[Interface]\n${section(general)}\n\n[Peer]\n${section(peer)}\n`;
  }
}

/** UDP port of both ends. */
export const PORT = 4433;

/** Where keys and configuration lie inside the enclosure; also where the commands look names up. */
export const FOLDER = '/run/sites';

function section(settings: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(settings)
    .flatMap(([key, value]) => (value === undefined ? [] : [`${key.padEnd(11)} = ${value}`]))
    .join('\n');
}

const ENVIRONMENT = { DTUNNEL_CONFIG_DIR: FOLDER, NO_COLOR: '1' };
