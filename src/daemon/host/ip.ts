import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { DtunnelError } from '../../base/errors.ts';
import type { ProgramReport, ProgramRun } from '../../plane/host.ts';

/** Outcome of a batch: how many lines were carried out, and what stopped it. */
export interface BatchOutcome {
  /** Lines done, from the front. */
  readonly done: number;
  /** What ip(8) said to the line after them; undefined when all were done. */
  readonly failure: string | undefined;
}

/** iproute2, as far as the daemon uses it. */
export interface Ip {
  /**
   * Carries out `lines` in order and stops at the first that fails. `family` undefined: each line tells its own, by the
   * address or prefix that it names.
   */
  batch(family: 4 | 6 | undefined, lines: readonly string[]): Promise<BatchOutcome>;
  /** Output of one query. */
  query(args: readonly string[]): Promise<string>;
  /**
   * Gives `device` a queue that keeps the order of every flow: fq_codel (RFC 8290), which also keeps delay short, or none
   * where the kernel lacks it. What a kernel uses by itself may be pfifo_fast, which sorts by DSCP: when two processors
   * send at once, a packet overtakes one of its own flow that is marked differently. False: neither could be had.
   */
  useOrderedQueue(device: string): Promise<boolean>;
}

/** Longest a batch may take: ten thousand routes take a second. */
const TIMEOUT_MS = 30_000;

/** Where programs are looked for: sbin is not on everybody's PATH, and what is not absolute on it is not ours to trust. */
const PROGRAM_PATH: readonly string[] = (process.env['PATH'] ?? '')
  .split(':')
  .filter((folder) => folder.startsWith('/'))
  .concat('/usr/sbin', '/sbin', '/usr/bin', '/bin');

/** The real thing; throws `DT_IPROUTE2_MISSING` when there is none on the path. */
export class SystemIp implements Ip {
  readonly #run: (program: ProgramRun) => Promise<ProgramReport>;
  /** Directories to search. */
  readonly #path: readonly string[];

  /** `run`: `runProgram` of the data plane's addon. */
  constructor(run: (program: ProgramRun) => Promise<ProgramReport>, path: readonly string[] = PROGRAM_PATH) {
    this.#run = run;
    this.#path = path;
  }

  async batch(family: 4 | 6 | undefined, lines: readonly string[]): Promise<BatchOutcome> {
    if (lines.length === 0) return { done: 0, failure: undefined };
    const args = [...(family === undefined ? [] : [`-${family}`]), '-batch', '-'];
    const { status, late, stderr } = await this.#finished('ip', args, `${lines.join('\n')}\n`);
    if (status === 0) return { done: lines.length, failure: undefined };
    // ip(8) ends with `Command failed -:7`; what is above says why.
    const number = Number(/Command failed -:(\d+)/.exec(stderr)?.[1] ?? 1);
    const reason = stderr.replace(/\s*Command failed -:\d+\s*$/, '').trim();
    const ending = late ? `ip took longer than ${TIMEOUT_MS / 1000} s` : `ip ended with status ${status}`;
    return { done: number - 1, failure: reason === '' ? ending : reason };
  }

  async query(args: readonly string[]): Promise<string> {
    return (await this.#finished('ip', args, '')).stdout;
  }

  async useOrderedQueue(device: string): Promise<boolean> {
    for (const kind of ['fq_codel', 'noqueue']) {
      try {
        const { status } = await this.#finished('tc', ['qdisc', 'replace', 'dev', device, 'root', kind], '');
        if (status === 0) return true;
      } catch {
        // No tc on this machine.
      }
    }
    return false;
  }

  async #finished(program: 'ip' | 'tc', args: readonly string[], input: string): Promise<ProgramReport> {
    const file = this.#path.map((folder) => join(folder, program)).find(isProgram);
    if (file === undefined) throw new DtunnelError('S013', `there is no ${program} command`);
    // Messages are matched and shown: in English, whatever the operator's language.
    const environment = { ...process.env, LC_ALL: 'C' };
    try {
      return await this.#run({ file, args, environment, input, timeoutMs: TIMEOUT_MS });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new DtunnelError('S014', `cannot run ${program}: ${why}`, { cause: error });
    }
  }
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
