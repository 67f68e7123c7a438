/** Steps that were taken, so that they can be taken back in reverse order when a later one fails. */
export class UndoStack {
  readonly #steps: (() => Promise<void> | void)[] = [];
  readonly #onFailure: (error: unknown) => void;

  /** `onFailure` is told of an undo that failed; the others run nevertheless. */
  constructor(onFailure: (error: unknown) => void) {
    this.#onFailure = onFailure;
  }

  /** Remembers how to take back what was just done. */
  push(step: () => Promise<void> | void): void {
    this.#steps.push(step);
  }

  /** Takes everything back, latest first. Never throws. */
  async unwind(): Promise<void> {
    for (const step of this.#steps.splice(0).toReversed()) {
      try {
        await step();
      } catch (error) {
        this.#onFailure(error);
      }
    }
  }

  /** What was done stays. */
  clear(): void {
    this.#steps.length = 0;
  }
}
