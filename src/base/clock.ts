import type { Instant } from './brand.ts';

/** Yields the current instant. Injected wherever time is needed; protocol code never calls it. */
export type Clock = () => Instant;

/**
 * The real monotonic clock: CLOCK_MONOTONIC in milliseconds with fractions. The origin is the kernel's, not the
 * process's, so that instants are comparable with those of the native data plane.
 */
export const monotonicClock: Clock = () => {
  const [wholeSeconds, nanoseconds] = process.hrtime();
  return (wholeSeconds * 1000 + nanoseconds / 1e6) as Instant;
};
