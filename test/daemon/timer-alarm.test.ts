import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Instant } from '../../src/base/brand.ts';
import { timerAlarms } from '../../src/daemon/timer-alarm.ts';

describe('an alarm on real time', () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  function alarm() {
    const began = Date.now();
    const rung: number[] = [];
    const clock = () => (Date.now() - began) as Instant;
    const made = timerAlarms(clock)(() => rung.push(clock()));
    return { rung, set: (at: number | undefined) => made.set(at as Instant | undefined) };
  }

  it('rings once, at the instant that was set last, be it earlier or later than the one before', () => {
    const { rung, set } = alarm();
    set(100);
    set(50);
    set(80);
    vi.advanceTimersByTime(79);
    expect(rung).toEqual([]);
    vi.advanceTimersByTime(1000);
    expect(rung).toEqual([80]);
  });

  it('does not ring once it is disarmed, and rings again when it is set after that', () => {
    const { rung, set } = alarm();
    set(10);
    set(undefined);
    vi.advanceTimersByTime(100);
    expect(rung).toEqual([]);
    set(120);
    vi.advanceTimersByTime(100);
    expect(rung).toEqual([120]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('makes no timer for an instant later than the one that runs', () => {
    const { rung, set } = alarm();
    const made = vi.spyOn(globalThis, 'setTimeout');
    for (let i = 0; i < 1000; i++) set(10 + i);
    expect(made).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(2000);
    expect(rung).toEqual([1009]);
    expect(made).toHaveBeenCalledTimes(2);
  });

  it('rings for what is further away than a timer can count', () => {
    const { rung, set } = alarm();
    const at = 2 ** 31 + 5000;
    set(at);
    vi.advanceTimersByTime(2 ** 31 - 1);
    expect(rung).toEqual([]);
    vi.advanceTimersByTime(10_000);
    expect(rung).toEqual([at]);
  });
});
