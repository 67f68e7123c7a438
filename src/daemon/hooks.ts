import { spawn } from 'node:child_process';

/** Longest a hook may run, ms; then it is killed. */
const TIME_LIMIT = 5_000;

/** Hooks running at once; a flapping peer must not fill the process table. */
const MAX_RUNNING = 8;

/** What happened to a hook that did not succeed. */
export type HookFailure = (program: string, why: string) => void;

/**
 * Runs the operator's programs: absolute path and arguments, no shell, a small environment, never fatal. Whoever may
 * write the configuration decides what runs; nothing that came from the network is in it but peers' configured names.
 */
export class Hooks {
  readonly #onFailure: HookFailure;
  #running = 0;

  constructor(onFailure: HookFailure) {
    this.#onFailure = onFailure;
  }

  /** Starts `command` with `environment` beside PATH; resolves when it has ended or was given up. */
  async run(command: readonly string[] | undefined, environment: Readonly<Record<string, string>>): Promise<void> {
    const [program, ...args] = command ?? [];
    if (program === undefined) return;
    if (this.#running >= MAX_RUNNING) {
      this.#onFailure(program, `${MAX_RUNNING} hooks are running already`);
      return;
    }
    this.#running += 1;
    try {
      const failure = await ended(program, args, environment);
      if (failure !== undefined) this.#onFailure(program, failure);
    } finally {
      this.#running -= 1;
    }
  }
}

function ended(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      stdio: 'ignore',
      shell: false,
      timeout: TIME_LIMIT,
      killSignal: 'SIGKILL',
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...environment },
    });
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (status, signal) => {
      if (signal !== null) resolve(signal === 'SIGKILL' ? `killed after ${TIME_LIMIT / 1000} s` : `ended by ${signal}`);
      else resolve(status === 0 ? undefined : `ended with status ${status}`);
    });
  });
}
