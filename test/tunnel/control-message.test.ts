import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ms } from '../../src/base/brand.ts';
import {
  type ControlMessage,
  parseControlMessage,
  TOKEN_LENGTH,
  writeControlMessage,
} from '../../src/tunnel/control-message.ts';

const use = fc.constantFrom('standby' as const, 'active' as const, 'retiring' as const);
const id = fc.integer({ min: 0, max: 0xffffffff });
const token = fc.uint8Array({ minLength: TOKEN_LENGTH, maxLength: TOKEN_LENGTH });
const milliseconds = fc.integer({ min: 0, max: 0xffffffff }).map(ms);
const message: fc.Arbitrary<ControlMessage> = fc.oneof(
  fc.record({ type: fc.constant('probe' as const), use, id }),
  fc.record({ type: fc.constant('probe-reply' as const), use, id }),
  fc.record({ type: fc.constant('path-mtu-probe' as const), id, size: fc.integer({ min: 6, max: 9000 }) }),
  fc.record({ type: fc.constant('path-mtu-ack' as const), id, size: fc.integer({ min: 0, max: 0xffff }) }),
  fc.record({ type: fc.constant('path-challenge' as const), token }),
  fc.record({ type: fc.constant('path-response' as const), token }),
  fc.record({ type: fc.constant('drain' as const), deadline: milliseconds }),
  fc.record({
    type: fc.constant('goodbye' as const),
    why: fc.constantFrom('stopping' as const, 'draining' as const, 'disabled' as const, 'removed' as const),
    pause: milliseconds,
  }),
  fc.record({ type: fc.constant('rekey-request' as const) }),
);

describe('control messages', () => {
  it('read back as they were written', () => {
    fc.assert(
      fc.property(message, (m) => {
        expect(parseControlMessage(writeControlMessage(m))).toEqual(m);
      }),
    );
  });

  it('begin with an octet that no IP packet begins with', () => {
    fc.assert(
      fc.property(message, (m) => {
        expect(writeControlMessage(m)[0]).toBeLessThan(0x10);
      }),
    );
  });

  it('may be padded, and grow at the end', () => {
    fc.assert(
      fc.property(message, fc.integer({ min: 0, max: 500 }), (m, length) => {
        if (m.type === 'path-mtu-probe') return;
        const octets = writeControlMessage(m, length);
        expect(octets.length).toBeGreaterThanOrEqual(length);
        expect(parseControlMessage(octets)).toEqual(m);
      }),
    );
  });

  it('a path-MTU probe is exactly as large as it says', () => {
    expect(writeControlMessage({ type: 'path-mtu-probe', id: 1, size: 1400 }).length).toBe(1400);
  });

  it('that are cut short are none', () => {
    fc.assert(
      fc.property(message, fc.nat(20), (m, length) => {
        const octets = writeControlMessage(m);
        if (m.type === 'path-mtu-probe' || length >= octets.length) return;
        expect(parseControlMessage(octets.subarray(0, length))).toBeUndefined();
      }),
    );
  });

  it('of unknown types, uses and reasons are none', () => {
    expect(parseControlMessage(Uint8Array.of(0x0f, 0))).toBeUndefined();
    expect(parseControlMessage(Uint8Array.of(0x00, 0))).toBeUndefined();
    expect(parseControlMessage(Uint8Array.of(0x01, 9, 0, 0, 0, 1))).toBeUndefined();
    expect(parseControlMessage(Uint8Array.of(0x08, 9, 0, 0, 0, 1))).toBeUndefined();
    expect(parseControlMessage(new Uint8Array(0))).toBeUndefined();
  });

  it('whatever the octets, nothing throws', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (octets) => void parseControlMessage(octets)));
  });
});
