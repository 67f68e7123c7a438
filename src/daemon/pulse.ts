import type { Clock } from '../base/clock.ts';

/** What is told while the event loop turns. */
export interface PulseOptions {
  readonly clock: Clock;
  /** Epoch milliseconds. */
  readonly wallClock: () => number;
  readonly onLag: (seconds: number) => void;
  readonly onClockJump: (seconds: number) => void;
  /** Once a minute. */
  readonly onMinute: () => void;
}

/** Milliseconds between two beats. */
const INTERVAL = 500;

/** Wall clocks are slewed by NTP all the time; a step is more than this between two beats, seconds. */
const JUMP = 1;

/** Beats per minute. */
const BEATS_PER_MINUTE = 60_000 / INTERVAL;

/** A beat twice a second that measures how late the event loop is and compares the clocks. Yields the end of it. */
export function startPulse({ clock, wallClock, onLag, onClockJump, onMinute }: PulseOptions): () => void {
  let expected = clock() + INTERVAL;
  let offset = wallClock() - clock();
  let beats = 0;
  const timer = setInterval(() => {
    const now = clock();
    onLag(Math.max(0, now - expected) / 1000);
    expected = now + INTERVAL;
    const jump = (wallClock() - now - offset) / 1000;
    if (Math.abs(jump) > JUMP) onClockJump(jump);
    offset = wallClock() - now;
    beats += 1;
    if (beats % BEATS_PER_MINUTE === 0) onMinute();
  }, INTERVAL);
  timer.unref();
  return () => clearInterval(timer);
}
