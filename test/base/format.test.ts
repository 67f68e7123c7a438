import { describe, expect, it } from 'vitest';
import {
  bitRate,
  briefSpan,
  bytes,
  grouped,
  hostPort,
  milliseconds,
  packetRate,
  percent,
  shortFingerprint,
  span,
} from '../../src/base/format.ts';
import { details, displayWidth, table } from '../../src/cli/table.ts';

describe('lengths of time', () => {
  it.each([
    [0, '0 ms'],
    [0.031, '31 ms'],
    [0.9996, '1000 ms'],
    [1, '1 s'],
    [59.4, '59 s'],
    [60, '1 min'],
    [61, '1 min 1 s'],
    [3 * 3600 + 12 * 60 + 40, '3 h 12 min'],
    [86_400, '1 d'],
    [9 * 365 * 86_400 + 364 * 86_400, '9 y 364 d'],
    [-5, '0 ms'],
  ])('%d s is %s', (seconds, text) => {
    expect(span(seconds)).toBe(text);
  });

  it('in brief have one unit', () => {
    expect(briefSpan(3 * 3600 + 12 * 60)).toBe('3 h');
    expect(briefSpan(0.4)).toBe('400 ms');
  });
});

describe('amounts', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.00 KiB'],
    [19_541_893_120, '18.2 GiB'],
    [2_254_857_830, '2.10 GiB'],
    [150 * 2 ** 30, '150 GiB'],
    [2 ** 70, '1048576 PiB'],
  ])('%d bytes are %s', (count, text) => {
    expect(bytes(count)).toBe(text);
  });

  it('have the units of their kind', () => {
    expect(bitRate(4.81e9)).toBe('4.81 Gb/s');
    expect(packetRate(12_345)).toBe('12.3 kpps');
    expect(grouped(13_902_118)).toBe('13,902,118');
    expect(grouped(999)).toBe('999');
    expect(milliseconds(0.0141)).toBe('14.1 ms');
    expect(milliseconds(0.00021)).toBe('0.21 ms');
    expect(percent(0.004)).toBe('0.4 %');
  });
});

describe('names', () => {
  it('are short where they may be', () => {
    const full = Array.from({ length: 32 }, (_, i) => i.toString(16).padStart(2, '0')).join(':');
    expect(shortFingerprint(full)).toBe('00:01:02:03:…:1e:1f');
    expect(shortFingerprint('12:aa')).toBe('12:aa');
    expect(hostPort('2001:db8::1', 1)).toBe('[2001:db8::1]:1');
    expect(hostPort('192.0.2.1', 1)).toBe('192.0.2.1:1');
  });
});

describe('tables', () => {
  it('are as wide as they need to be and have nothing trailing', () => {
    const lines = table(
      [{ title: 'A' }, { title: 'N', align: 'right' }, { title: 'Z' }],
      [
        ['long one', '1', ''],
        ['x', '100', 'é'],
      ],
    );
    expect(lines).toEqual(['A           N  Z', 'long one    1', 'x         100  é']);
  });

  it('are not shifted by colours', () => {
    expect(displayWidth('\u001b[32mup\u001b[0m')).toBe(2);
    expect(table([{ title: 'S' }, { title: 'T' }], [['\u001b[32mup\u001b[0m', 'x']])[1]).toBe(
      '\u001b[32mup\u001b[0m  x',
    );
  });

  it('of keys and values have their keys right', () => {
    expect(
      details(
        [
          ['a', '1'],
          ['long', '2'],
        ],
        6,
      ),
    ).toEqual(['     a  1', '  long  2']);
  });
});
