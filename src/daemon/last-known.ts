import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Fingerprint } from '../base/brand.ts';
import { err, ok, type Result } from '../base/result.ts';
import { parseFingerprint } from '../crypto/fingerprint.ts';
import { type Address, parseAddress } from '../net/address.ts';
import { endpointKey, literalEndpoint, type Path, parseHostPort } from '../net/endpoint.ts';
import type { PeerGlance } from '../tunnel/effects.ts';
import { fileProblem, readRegularFile } from './regular-file.ts';

/**
 * Where peers were last met, kept beside the control socket: a daemon that was killed calls them there when it starts
 * again. It holds no secret and proves nothing: whoever answers must have the peer's certificate all the same.
 *
 * ```
 * dtunnel.last-known/1
 * <fingerprint, 64 hex> <remote endpoint> <local address, or ->
 * end <number of entries>
 * ```
 *
 * It lies under /run, which ends with the machine's uptime as what it says does (FHS 3.0 §3.15): nothing is flushed to a
 * disk, and a reader sees either the file before or the file after (rename(2)).
 */
export class LastKnownFile {
  readonly #options: LastKnownOptions;
  /** What the file holds. */
  #written: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pending: (() => readonly PeerGlance[]) | undefined;
  #isFailing = false;

  constructor(options: LastKnownOptions) {
    this.#options = options;
  }

  /** What was written before; nothing when there is no file, or one that is not as it should be, which is told. */
  read(): ReadonlyMap<Fingerprint, Path> {
    const content = readRegularFile(this.#options.path, { maxBytes: MAX_BYTES, follow: false, streams: false });
    if (!content.ok && content.error.code === 'ENOENT') return new Map();
    const parsed = content.ok ? parseLastKnown(content.value.octets.toString('utf8')) : err(content.error.text);
    if (!parsed.ok) {
      this.#options.onProblem('ignored', parsed.error);
      return new Map();
    }
    const here = new Set(this.#options.localAddresses());
    // An address this host has no longer would keep every datagram from leaving.
    const usable = ({ remote, local }: Path): Path => ({
      remote,
      local: local === undefined || here.has(local) ? local : undefined,
    });
    return new Map([...parsed.value].map(([fingerprint, path]) => [fingerprint, usable(path)]));
  }

  /** Peers may be elsewhere now. `peers` is asked when it is time to write: soon, but not for every change of many. */
  changed(peers: () => readonly PeerGlance[]): void {
    this.#pending = peers;
    this.#timer ??= setTimeout(() => this.#due(), SOON).unref();
  }

  /** Writes what waits. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#write();
  }

  #due(): void {
    const peers = this.#write();
    const rest = Math.max(PAUSE, peers * PAUSE_PER_PEER);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#pending !== undefined) this.changed(this.#pending);
    }, rest).unref();
  }

  /** Yields how many peers were looked at. */
  #write(): number {
    const peers = this.#pending?.() ?? [];
    this.#pending = undefined;
    if (peers.length === 0) return 0;
    const text = formatLastKnown(peers);
    if (text === this.#written) return peers.length;
    const { path, onProblem } = this.#options;
    try {
      const temporary = `${path}.tmp`;
      // The directory may be another user's: whatever is in the way is removed and never followed.
      rmSync(temporary, { force: true });
      writeFileSync(temporary, text, { mode: 0o600, flag: 'wx' });
      renameSync(temporary, path);
      this.#written = text;
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) onProblem('unwritten', fileProblem(error).text);
      this.#isFailing = true;
    }
    return peers.length;
  }
}

/** What a file is kept with. */
export interface LastKnownOptions {
  readonly path: string;
  /** The addresses this host has now. */
  readonly localAddresses: () => readonly Address[];
  /** Told once of a file that is ignored, and of the first of several writes that fail. */
  readonly onProblem: (what: 'ignored' | 'unwritten', reason: string) => void;
}

/** The file of tunnel `name`. */
export function lastKnownPath(name: string, runtimeDir: string): string {
  return join(runtimeDir, `${name}.peers`);
}

/** The text that says where `peers` were last met. */
export function formatLastKnown(peers: readonly Pick<PeerGlance, 'fingerprint' | 'lastKnown'>[]): string {
  const known = peers.flatMap(({ fingerprint, lastKnown }) =>
    lastKnown === undefined ? [] : [[fingerprint, lastKnown] as const],
  );
  return textOf(new Map(known));
}

/** What `text` says, or what is wrong with it: all of it is as it was written, or none of it is believed. */
export function parseLastKnown(text: string): Result<ReadonlyMap<Fingerprint, Path>, string> {
  const [header, ...lines] = text.split('\n');
  if (header !== HEADER) return err('it does not begin as it should');
  const entries = lines.slice(0, -2);
  if (lines.at(-1) !== '' || lines.at(-2) !== `end ${entries.length}`) return err('it does not end as it should');
  const found = new Map<Fingerprint, Path>();
  for (const [i, line] of entries.entries()) {
    const [pin = '', remoteText = '', localText = '', ...rest] = line.split(' ');
    const fingerprint = parseFingerprint(pin);
    const hostPort = parseHostPort(remoteText);
    const remote = hostPort === undefined ? undefined : literalEndpoint(hostPort);
    const local = localText === '-' ? undefined : parseAddress(localText);
    const isLocalBad = localText !== '-' && local === undefined;
    if (fingerprint === undefined || remote === undefined || isLocalBad || rest.length > 0) {
      return err(`line ${i + 2} is not an entry`);
    }
    found.set(fingerprint, { remote, local });
  }
  // One way to write each entry, and each once.
  return textOf(found) === text ? ok(found) : err('it is not as it was written');
}

function textOf(entries: ReadonlyMap<string, Path>): string {
  const lines = [...entries].map(
    ([fingerprint, { remote, local }]) => `${fingerprint} ${endpointKey(remote)} ${local ?? '-'}`,
  );
  return [HEADER, ...lines, `end ${lines.length}`, ''].join('\n');
}

const HEADER = 'dtunnel.last-known/1';

/** Some 65,000 entries, more than a tunnel has peers. */
const MAX_BYTES = 8 * 2 ** 20;

/** Ms between the first change and its writing: handshakes come in groups. */
const SOON = 50;

/** Ms between two writings, at least and for each peer: 10 s with ten thousand of them. */
const PAUSE = 1000;
const PAUSE_PER_PEER = 1;
