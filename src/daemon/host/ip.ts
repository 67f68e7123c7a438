import { spawn } from 'node:child_process';
import { DtunnelError } from '../../base/errors.ts';

/** Outcome of a batch: how many lines were carried out, and what stopped it. */
export interface BatchOutcome {
  /** Lines done, from the front. */
  readonly done: number;
  /** What ip(8) said to the line after them; undefined when all were done. */
  readonly failure: string | undefined;
}

/** iproute2, as far as the daemon uses it. */
export interface Ip {
  /** Carries out `lines` in order and stops at the first that fails. */
  batch(family: 4 | 6, lines: readonly string[]): Promise<BatchOutcome>;
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

/** The real thing; throws `DT_IPROUTE2_MISSING` when there is none on the path. */
export class SystemIp implements Ip {
  readonly #path: string;

  /** `path`: directories to search; sbin is not on everybody's PATH. */
  constructor(path: readonly string[] = [process.env['PATH'] ?? '', '/usr/sbin', '/sbin', '/usr/bin', '/bin']) {
    this.#path = path.join(':');
  }

  async batch(family: 4 | 6, lines: readonly string[]): Promise<BatchOutcome> {
    if (lines.length === 0) return { done: 0, failure: undefined };
    const { status, stderr } = await this.#run('ip', [`-${family}`, '-batch', '-'], `${lines.join('\n')}\n`);
    if (status === 0) return { done: lines.length, failure: undefined };
    // ip(8) ends with `Command failed -:7`; what is above says why.
    const number = Number(/Command failed -:(\d+)/.exec(stderr)?.[1] ?? 1);
    const reason = stderr.replace(/\s*Command failed -:\d+\s*$/, '').trim();
    return { done: number - 1, failure: reason === '' ? `ip ended with status ${status}` : reason };
  }

  async query(args: readonly string[]): Promise<string> {
    return (await this.#run('ip', args, '')).stdout;
  }

  async useOrderedQueue(device: string): Promise<boolean> {
    for (const kind of ['fq_codel', 'noqueue']) {
      try {
        const { status } = await this.#run('tc', ['qdisc', 'replace', 'dev', device, 'root', kind], '');
        if (status === 0) return true;
      } catch {
        // No tc on this machine.
      }
    }
    return false;
  }

  #run(program: 'ip' | 'tc', args: readonly string[], input: string): Promise<Finished> {
    return new Promise((resolve, reject) => {
      const child = spawn(program, args, {
        stdio: 'pipe',
        timeout: TIMEOUT_MS,
        // Messages are matched and shown: in English, whatever the operator's language.
        env: { ...process.env, LC_ALL: 'C', PATH: this.#path },
      });
      let stdout = '';
      let stderr = '';
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        stdout += chunk;
      });
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
        stderr += chunk;
      });
      child.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT')
          reject(new DtunnelError('S013', `there is no ${program} command`, { cause: error }));
        else reject(new DtunnelError('S014', `cannot run ${program}: ${error.message}`, { cause: error }));
      });
      child.on('close', (status) => resolve({ status, stdout, stderr }));
      // A child that ended early closes its input: its exit status says more than EPIPE.
      child.stdin.on('error', () => undefined);
      child.stdin.end(input);
    });
  }
}

interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
