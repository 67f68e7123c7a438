/** Ctrl-C for commands that stream or wait: they are told, end in order, and report the usual status. */
export class Interruption {
  readonly #controller = new AbortController();
  #status: number | undefined;
  #listening = false;
  readonly #onInt = (): void => this.#stop('SIGINT', 130);
  readonly #onTerm = (): void => this.#stop('SIGTERM', 143);

  /** 130 or 143 once interrupted. */
  get status(): number | undefined {
    return this.#status;
  }

  /** From now on SIGINT and SIGTERM abort this signal; without it they end the process as they end any. */
  listen(): AbortSignal {
    if (!this.#listening) {
      process.on('SIGINT', this.#onInt);
      process.on('SIGTERM', this.#onTerm);
      this.#listening = true;
    }
    return this.#controller.signal;
  }

  /** Signals act as usual again. */
  end(): void {
    process.off('SIGINT', this.#onInt);
    process.off('SIGTERM', this.#onTerm);
  }

  #stop(signal: NodeJS.Signals, status: number): void {
    if (this.#status !== undefined) {
      // A second one is for those who do not want to wait: it ends the process as it would any.
      this.end();
      process.kill(process.pid, signal);
      return;
    }
    this.#status = status;
    this.#controller.abort();
  }
}
