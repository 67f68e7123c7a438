import type { ChildProcess } from 'node:child_process';
import { DtunnelError } from '../base/errors.ts';
import { builtProgram } from './built.ts';
import { type Enclosure, stop } from './enclosure.ts';
import type { Command, Task, Word } from './traffic.ts';

/** A traffic tool that runs inside a network namespace. */
export interface Tool {
  /** Tells it to do something. */
  tell(command: Command): void;
  /** The next time it says `event`: the rest of what it says then. Throws when it fails or ends before. */
  heard<E extends Word['event']>(event: E): Promise<Heard<E>>;
  /** Ends it. Idempotent. */
  close(): Promise<void>;
}

/** What a tool says with `event` E. */
export type Heard<E extends Word['event']> = Extract<Word, { event: E }>;

/** Starts a traffic tool in `netns` and waits until it is ready. */
export async function startTool(enclosure: Enclosure, netns: string, task: Task): Promise<Tool> {
  const child = enclosure.start([process.execPath, builtProgram('demo/traffic.js'), JSON.stringify(task)], {
    netns,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const tool = new RunningTool(child, `${task.tool} in ${netns}`);
  try {
    await tool.heard('ready');
  } catch (error) {
    await tool.close();
    throw error;
  }
  return tool;
}

/** What a two-way or one-way measurement may take before it counts as failed, beyond its own length. */
export const PATIENCE_MS = 60_000;

class RunningTool implements Tool {
  readonly #child: ChildProcess;
  readonly #name: string;
  /** What it said that nobody has waited for yet, oldest first. */
  #said: Word[] = [];
  #waiting: (() => void) | undefined;
  #stderr = '';
  /** How it ended; undefined: it runs. */
  #ended: string | undefined;

  constructor(child: ChildProcess, name: string) {
    this.#child = child;
    this.#name = name;
    let rest = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.#said.push(JSON.parse(line));
      this.#waiting?.();
    });
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      if (this.#stderr.length < 1 << 16) this.#stderr += chunk;
    });
    child.stdin?.on('error', () => undefined); // It ended; `heard` tells.
    child.once('error', (error) => this.#end(error.message));
    child.once('close', (code, signal) => this.#end(`it ended with ${signal ?? `status ${code}`}`));
  }

  tell(command: Command): void {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  async heard<E extends Word['event']>(event: E): Promise<Heard<E>> {
    const wanted = (word: Word): word is Heard<E> => word.event === event;
    let late = false;
    const deadline = setTimeout(() => {
      late = true;
      this.#waiting?.();
    }, PATIENCE_MS);
    try {
      for (;;) {
        const found = this.#said.find(wanted);
        if (found !== undefined) {
          this.#said = this.#said.filter((word) => word !== found);
          return found;
        }
        const failure = this.#said.find((word) => word.event === 'failed');
        if (failure !== undefined || this.#ended !== undefined || late) {
          const said = this.#stderr.trim().slice(-1000);
          const ended = this.#ended ?? `it did not say ${event} within ${PATIENCE_MS / 1000} s`;
          throw new DtunnelError('S025', `${this.#name} failed: ${failure?.message ?? (said || ended)}`);
        }
        await new Promise<void>((resolve) => {
          this.#waiting = resolve;
        });
      }
    } finally {
      clearTimeout(deadline);
    }
  }

  async close(): Promise<void> {
    this.#child.stdin?.end();
    await stop(this.#child, 'SIGTERM', 1000);
  }

  #end(how: string): void {
    this.#ended ??= how;
    this.#waiting?.();
  }
}
