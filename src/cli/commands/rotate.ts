import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { basename } from 'node:path';
import type { Fingerprint } from '../../base/brand.ts';
import { DtunnelError, EXIT } from '../../base/errors.ts';
import { loadSettings } from '../../config/load.ts';
import type { ControlClient } from '../../control/client.ts';
import { type CertificateKeyType, certificateFromPem, readCertificate } from '../../crypto/certificate.ts';
import { formatFingerprint } from '../../crypto/fingerprint.ts';
import { identityContext, loadCertificatePem, loadIdentity } from '../../daemon/identity-files.ts';
import { type IdentityPaths, pairBeside } from '../../daemon/identity-paths.ts';
import { filesState, switchFiles } from '../../daemon/rotation-files.ts';
import { createIdentity } from '../create-identity.ts';
import { type Io, json } from '../io.ts';
import { lookOf, plain } from '../paint.ts';
import { clientOf, pause } from '../targets.ts';

/** `dtunnel rotate NAME`. */
export interface RotateArgs {
  readonly name: string;
  /** Peers that cannot be asked and are taken to know the new certificate. */
  readonly assume: readonly string[];
  readonly json: boolean;
  readonly quiet: boolean;
  /** For the peers to know it. */
  readonly timeoutMs: number;
}

/** Pauses between two questions, ms: peers are asked less and less often, since each question is a handshake. */
const PAUSES = [1_000, 2_000, 4_000, 8_000, 15_000] as const;

/** For fresh keys with the new certificate, ms; what takes longer comes with the next handshake. */
const RENEWAL = 15_000;

/**
 * A new key and certificate in three steps: made beside the present ones; waited for until every peer would accept them;
 * switched, with fresh keys, while packets flow. Interrupted anywhere and run again, it goes on where it was: what lies on
 * disk and what the daemon uses say where that is.
 */
export async function run(args: RotateArgs, io: Io, signal: AbortSignal): Promise<number> {
  const rotation = await Rotation.of(args, io);
  if (rotation.stage === 'prepare') {
    await rotation.prepare();
    await rotation.waitForPeers(signal);
    if (signal.aborted) return EXIT.ok;
  }
  await rotation.finish();
  return EXIT.ok;
}

type Knowledge = 'known' | 'assumed' | 'refused' | 'silent' | 'unable';

class Rotation {
  /** `switch`: the peers know the new certificate already, and files or daemon are on their way to it. */
  readonly stage: 'prepare' | 'switch';
  readonly #args: RotateArgs;
  readonly #io: Io;
  readonly #client: ControlClient;
  readonly #files: IdentityPaths;
  /** What the daemon uses, colon hex. */
  readonly #before: string;
  readonly #peers = new Map<string, Knowledge>();
  #next: Fingerprint | undefined;

  private constructor(args: RotateArgs, io: Io, client: ControlClient, at: { files: IdentityPaths; before: string }) {
    this.#args = args;
    this.#io = io;
    this.#client = client;
    this.#files = at.files;
    this.#before = at.before;
    this.stage = this.#isSwitching() ? 'switch' : 'prepare';
  }

  /** The rotation of a tunnel that runs. */
  static async of(args: RotateArgs, io: Io): Promise<Rotation> {
    const client = clientOf(args.name, io);
    const { tunnel } = (await client.status()).document;
    const loaded = loadSettings(tunnel.configFile, io.files, (name) => io.env[name]);
    if (!loaded.ok) throw new DtunnelError('S030', `${tunnel.configFile} has errors`, { details: loaded.error });
    const { certificate, privateKey } = loaded.value.settings.interface;
    pairBeside({ certificate, privateKey }, 'next');
    return new Rotation(args, io, client, { files: { certificate, privateKey }, before: tunnel.fingerprint });
  }

  /** Step 1: the new pair is there. */
  async prepare(): Promise<void> {
    const next = pairBeside(this.#files, 'next');
    const state = filesState(this.#files);
    if (state === 'half') rmSync(next.privateKey, { force: true });
    const made = state !== 'ready';
    if (made) {
      const present = readCertificate(this.#certificateOf(this.#files.certificate));
      const keyType = makeable(present?.keyType);
      await createIdentity(next, { commonName: this.#client.name, keyType }, this.#io);
    }
    const identity = loadIdentity(next, identityContext(this.#io.env, this.#io.uid));
    this.#next = identity.fingerprint;
    await this.#ask();
    const pending = this.#pending();
    const verb = made ? 'new certificate' : 'next certificate, made before:';
    const whom =
      pending.length === 0 ? 'every peer knows it' : `add it to: ${pending.join(', ')}  (line printed below)`;
    this.#say(`1/3 ${verb} ${basename(next.certificate)}  SHA256 ${short(identity.fingerprint)} — ${whom}\n`);
    if (pending.length === 0) return;
    this.#say(
      `    in the file of ${pending.join(', ')}, where our present fingerprint is, and then  dtunnel reload  there:\n`,
    );
    this.#say(`Fingerprint = ${this.#before}, ${formatFingerprint(identity.fingerprint)}\n`);
  }

  /** Step 2: every peer would accept it. Throws DT_ROTATE_WAITING when the time is over. */
  async waitForPeers(signal: AbortSignal): Promise<void> {
    const until = Date.now() + this.#args.timeoutMs;
    const told = new Map<string, Knowledge>();
    this.#say('2/3 waiting for peers to know it …');
    for (let round = 0; ; round++) {
      for (const [name, knowledge] of this.#peers) {
        if (told.get(name) === knowledge) continue;
        told.set(name, knowledge);
        this.#say(` ${name} ${WORDS[knowledge]}`);
      }
      if (this.#pending().length === 0 || signal.aborted) break;
      const rest = until - Date.now();
      if (rest <= 0) {
        this.#say('\n');
        throw this.#late();
      }
      const wait = PAUSES[Math.min(round, PAUSES.length - 1)] ?? 0;
      // Interrupted, it says where it is and ends.
      await delay(Math.min(wait, rest), undefined, { signal }).catch(() => undefined);
      if (!signal.aborted) await this.#ask();
    }
    this.#say('\n');
  }

  /** Step 3: files, daemon and keys. */
  async finish(): Promise<void> {
    const since = (await this.#client.status()).document.time;
    if (filesState(this.#files) === 'switching') {
      // Else somebody removed the next key: then there is nothing to go on with.
      const { certificate } = pairBeside(this.#files, 'next');
      loadIdentity({ certificate, privateKey: this.#files.privateKey }, identityContext(this.#io.env, this.#io.uid));
    }
    switchFiles(this.#files);
    const { fingerprint, peers } = await this.#client.rotateSwitch();
    const renewed = await this.#renewed(peers, since);
    const late = peers.filter((peer) => !renewed.includes(peer));
    if (this.#args.json) {
      this.#io.out(
        json({
          schema: 'dtunnel.rotate/1',
          tunnel: this.#client.name,
          switched: true,
          fingerprint,
          previous: this.#before,
          peers: [...new Set([...this.#peers.keys(), ...peers])].map((name) => ({
            name,
            renewed: renewed.includes(name),
          })),
        }),
      );
      return;
    }
    const where = renewed.length === 0 ? '' : `, old fingerprint may be removed from: ${renewed.join(', ')}`;
    this.#say(`3/3 switched to SHA256 ${short(fingerprint)}${where}\n`);
    if (late.length > 0) this.#say(`    keys made with the old one are still in use with: ${late.join(', ')}\n`);
  }

  /** Whether a run before this one got as far as the switch. */
  #isSwitching(): boolean {
    const state = filesState(this.#files);
    if (state === 'switching') return true;
    if (state !== 'none') return false;
    // Renamed on disk, and the daemon has not been told: what it uses is the old pair.
    const old = pairBeside(this.#files, 'old');
    try {
      const uses = (path: string): boolean => fingerprintIn(this.#certificateOf(path)) === this.#before;
      return !uses(this.#files.certificate) && uses(old.certificate);
    } catch {
      return false;
    }
  }

  async #ask(): Promise<void> {
    const { peers } = await this.#client.rotateAsk();
    const before = new Map(this.#peers);
    this.#peers.clear();
    for (const { name, result } of peers) {
      const assumed = result === 'unable' && this.#args.assume.includes(name);
      // Once known it stays known: one answer that is lost takes nothing back.
      this.#peers.set(name, before.get(name) === 'known' ? 'known' : assumed ? 'assumed' : result);
    }
  }

  #pending(): readonly string[] {
    return [...this.#peers].filter(([, k]) => k !== 'known' && k !== 'assumed').map(([name]) => name);
  }

  #late(): DtunnelError {
    const pending = this.#pending();
    const details = {
      peers: [...this.#peers].map(([name, knows]) => ({ name, knows })),
      line: `Fingerprint = ${this.#before}, ${this.#next === undefined ? '' : formatFingerprint(this.#next)}`,
    };
    const plainOnes = [...this.#peers].filter(([, k]) => k === 'unable').map(([name]) => `--assume ${name}`);
    const hint = plainOnes.length === 0 ? {} : { hint: `plain DTLS peers cannot be asked: ${plainOnes.join(' ')}` };
    return new DtunnelError(
      'S035',
      `${pending.join(', ')} may not know the new certificate yet; nothing was switched`,
      {
        details,
        ...hint,
      },
    );
  }

  async #renewed(peers: readonly string[], since: string): Promise<readonly string[]> {
    const until = Date.now() + RENEWAL;
    for (;;) {
      const { document } = await this.#client.status();
      const fresh = document.peers.filter(({ handshake }) => handshake !== undefined && handshake.at > since);
      const done = peers.filter((peer) => fresh.some(({ name }) => name === peer));
      if (done.length === peers.length || Date.now() > until) return done;
      await pause(100);
    }
  }

  #certificateOf(path: string): Uint8Array {
    const der = certificateFromPem(loadCertificatePem(path, identityContext(this.#io.env, this.#io.uid)));
    if (der === undefined) throw new DtunnelError('K004', `${path} holds no certificate`);
    return der;
  }

  #say(text: string): void {
    if (!this.#args.quiet && !this.#args.json) this.#io.out(plain(lookOf(this.#io), text));
  }
}

const WORDS: Readonly<Record<Knowledge, string>> = {
  known: '✓',
  assumed: 'assumed',
  refused: 'does not know it yet',
  silent: 'does not answer',
  unable: 'cannot be asked',
};

function fingerprintIn(der: Uint8Array): string | undefined {
  const summary = readCertificate(der);
  return summary === undefined ? undefined : formatFingerprint(summary.fingerprint);
}

function short(fingerprint: string): string {
  const colons = fingerprint.includes(':') ? fingerprint : formatFingerprint(fingerprint as Fingerprint);
  return `${colons.slice(0, 8)}:…:${colons.slice(-5)}`;
}

/** The kind of key to make: that of the present one, where we make such. */
function makeable(type: CertificateKeyType | undefined): 'p256' | 'p384' | 'ed25519' {
  return type === 'p384' || type === 'ed25519' ? type : 'p256';
}
