import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSelfSigned, readIdentity, type SelfSigned } from '../../src/crypto/certificate.ts';
import type { Identity } from '../../src/crypto/identity.ts';

/** A foreign program under test: its output, and a sure end. */
export class Program {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #name: string;
  /** stdout and stderr as they came. */
  output = '';
  exited = false;

  constructor(command: string, args: readonly string[]) {
    this.#name = `${command} ${args.join(' ')}`;
    this.#child = spawn(command, args);
    this.#child.stdout.on('data', (chunk) => {
      this.output += chunk;
    });
    this.#child.stderr.on('data', (chunk) => {
      this.output += chunk;
    });
    this.#child.on('error', (error) => {
      this.output += String(error);
      this.exited = true;
    });
    this.#child.on('exit', () => {
      this.exited = true;
    });
    // It may be gone by the time we write.
    this.#child.stdin.on('error', () => {});
  }

  type(text: string): void {
    this.#child.stdin.write(text);
  }

  /** Resolves when the output matches; rejects with all of it after `ms`. */
  async says(pattern: RegExp, ms = 4000): Promise<void> {
    await this.#until(() => pattern.test(this.output), `${pattern}`, ms);
  }

  async ends(ms = 4000): Promise<void> {
    await this.#until(() => this.exited, 'its end', ms);
  }

  async stop(): Promise<void> {
    if (this.exited) return;
    this.#child.kill('SIGTERM');
    await this.ends(1000).catch(() => this.#child.kill('SIGKILL'));
  }

  async #until(done: () => boolean, what: string, ms: number): Promise<void> {
    const end = Date.now() + ms;
    while (!done()) {
      if (Date.now() > end) throw new Error(`${this.#name}: waited for ${what} in vain:\n${this.output}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

/** Whether a program is installed. */
export function isInstalled(command: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;
}

/** An identity, and where its PEM files are. */
export interface FiledIdentity {
  readonly identity: Identity;
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** A temporary directory with identities as files; remove it with `remove`. */
export class IdentityFiles {
  readonly #directory = mkdtempSync(join(tmpdir(), 'dtunnel-interop-'));

  /** Makes `name` with a key of this type. */
  async make(name: string, keyType: 'p256' | 'p384' | 'ed25519' | 'rsa2048'): Promise<FiledIdentity> {
    const now = Math.floor(Date.now() / 1000);
    return this.#file(name, await createSelfSigned({ commonName: name, days: 2, keyType, now }));
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #file(name: string, made: SelfSigned): FiledIdentity {
    const identity = readIdentity(made.certificatePem, made.privateKeyPem);
    if (!identity.ok) throw new Error(identity.error.detail);
    const certificateFile = join(this.#directory, `${name}.crt`);
    const keyFile = join(this.#directory, `${name}.key`);
    writeFileSync(certificateFile, made.certificatePem);
    writeFileSync(keyFile, made.privateKeyPem, { mode: 0o600 });
    return { identity: identity.value, certificateFile, keyFile };
  }
}
