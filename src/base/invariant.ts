/** Bugs, and only bugs: what these throw ends the process (systemd restarts it). Never use them on input. */

/** Throws when `condition` does not hold: a mistake in this program, not in its input. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`invariant violated: ${message}`);
}

/** Never returns: ends a switch over a union, so that the compiler finds the case that was forgotten. */
export function assertNever(value: never, what: string): never {
  throw new Error(`invariant violated: unexpected ${what}: ${JSON.stringify(value)}`);
}
