import { describe, expect, it } from 'vitest';
import { forecast, growth, type LaneCost } from '../../bench/lane-model.ts';

const ONE: LaneCost = { lanes: 1, transmit: 1, receive: 0.8, gateway: 1.6 };

describe('the model of lanes', () => {
  it('is linear where lanes cost nothing more', () => {
    const four = { ...ONE, lanes: 4 };
    expect(forecast([ONE, four], 1, 2)).toEqual({ lanes: 1, cores: 2, gbps: 8, limit: 'thread' });
    expect(forecast([ONE, four], 8, 16)).toEqual({ lanes: 8, cores: 16, gbps: 64, limit: 'thread' });
  });

  it('is held by the cores where all threads together need more than there are', () => {
    expect(forecast([ONE], 4, 2)).toEqual({ lanes: 4, cores: 2, gbps: 10, limit: 'cores' });
  });

  it('carries on what was measured to cost more', () => {
    const four = { ...ONE, lanes: 4, gateway: 1.6 * 1.3 };
    expect(growth([ONE, four], 4)).toBeCloseTo(1.3, 9);
    expect(growth([ONE, four], 7)).toBeCloseTo(1.6, 9);
    expect(forecast([ONE, four], 7, 100)?.gbps).toBeCloseTo((8 * 7) / 1.6, 9);
    // Lanes that measured cheaper were luck.
    expect(growth([ONE, { ...four, gateway: 1.5 }], 4)).toBe(1);
  });

  it('says nothing without one lane to start from', () => {
    expect(forecast([{ ...ONE, lanes: 2 }], 4, 8)).toBeUndefined();
    expect(forecast([], 4, 8)).toBeUndefined();
  });
});
