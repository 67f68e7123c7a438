import { describe, expect, it } from 'vitest';
import type { Instant } from '../../src/base/brand.ts';
import { Timers } from '../../src/base/timers.ts';

const at = (milliseconds: number): Instant => milliseconds as Instant;

describe('timers', () => {
  it('have no deadline while none is armed', () => {
    const timers = new Timers<'a'>();
    expect(timers.deadline).toBeUndefined();
    expect(timers.takeDue(at(1e9))).toBeUndefined();
  });

  it('are due at the earliest deadline, and taken once, the most overdue first', () => {
    const timers = new Timers<'a' | 'b' | 'c'>();
    timers.arm('a', at(30));
    timers.arm('b', at(10));
    timers.arm('c', at(20));
    expect(timers.deadline).toBe(10);
    expect(timers.takeDue(at(9))).toBeUndefined();
    expect(timers.takeDue(at(20))).toBe('b');
    expect(timers.takeDue(at(20))).toBe('c');
    expect(timers.takeDue(at(20))).toBeUndefined();
    expect(timers.deadline).toBe(30);
  });

  it('replace their deadline when armed again', () => {
    const timers = new Timers<'a'>();
    timers.arm('a', at(10));
    timers.arm('a', at(50));
    expect(timers.at('a')).toBe(50);
    expect(timers.takeDue(at(49))).toBeUndefined();
  });

  it('are forgotten when disarmed or cleared', () => {
    const timers = new Timers<'a' | 'b'>();
    timers.arm('a', at(10));
    timers.arm('b', at(20));
    timers.disarm('a');
    expect(timers.at('a')).toBeUndefined();
    expect(timers.deadline).toBe(20);
    timers.clear();
    expect(timers.deadline).toBeUndefined();
  });
});
