import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EXTENSION_CODES, type Extension } from '../../src/dtls/extensions/extension.ts';
import { HANDSHAKE_HEADER, type Message, parseMessage, writeMessage } from '../../src/dtls/messages/message.ts';
import { HANDSHAKE_CODES, handshakeTypeOf } from '../../src/dtls/messages/types.ts';

const octets = (min: number, max: number) => fc.uint8Array({ minLength: min, maxLength: max });
const code16 = fc.nat(0xffff);
const codes = (max: number) => fc.array(fc.nat(max), { minLength: 1, maxLength: 20 });
const protocolName = fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 255 });
const known = new Set<number>(Object.values(EXTENSION_CODES));

const extension: fc.Arbitrary<Extension> = fc.oneof(
  codes(0xffff).map((groups) => ({ type: 'supported_groups' as const, groups })),
  codes(0xff).map((formats) => ({ type: 'ec_point_formats' as const, formats })),
  codes(0xffff).map((schemes) => ({ type: 'signature_algorithms' as const, schemes })),
  fc
    .array(protocolName, { minLength: 1, maxLength: 4 })
    .map((protocols) => ({ type: 'application_protocols' as const, protocols })),
  fc.constant({ type: 'extended_master_secret' as const }),
  octets(0, 24).map((renegotiatedConnection) => ({ type: 'renegotiation_info' as const, renegotiatedConnection })),
  octets(0, 255).map((id) => ({ type: 'connection_id' as const, id })),
  fc.record({ type: fc.constant('other' as const), code: code16.filter((c) => !known.has(c)), body: octets(0, 40) }),
);
const extensions = fc.uniqueArray(extension, {
  maxLength: 6,
  selector: (e) => (e.type === 'other' ? e.code : EXTENSION_CODES[e.type]),
});

const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({
    type: fc.constant('client_hello' as const),
    version: code16,
    random: octets(32, 32),
    sessionId: octets(0, 32),
    cookie: octets(0, 255),
    suites: codes(0xffff),
    compressions: octets(1, 5),
    extensions,
  }),
  fc.record({
    type: fc.constant('server_hello' as const),
    version: code16,
    random: octets(32, 32),
    sessionId: octets(0, 32),
    suite: code16,
    compression: fc.nat(255),
    extensions,
  }),
  fc.record({ type: fc.constant('hello_verify_request' as const), version: code16, cookie: octets(0, 255) }),
  fc.record({ type: fc.constant('certificate' as const), chain: fc.array(octets(1, 300), { maxLength: 3 }) }),
  fc.record({
    type: fc.constant('server_key_exchange' as const),
    group: code16,
    publicKey: octets(0, 255),
    scheme: code16,
    signature: octets(0, 300),
  }),
  fc.record({
    type: fc.constant('certificate_request' as const),
    certificateTypes: codes(0xff),
    schemes: codes(0xffff),
  }),
  fc.constant({ type: 'server_hello_done' as const }),
  fc.record({ type: fc.constant('client_key_exchange' as const), publicKey: octets(0, 255) }),
  fc.record({ type: fc.constant('certificate_verify' as const), scheme: code16, signature: octets(0, 300) }),
  fc.record({ type: fc.constant('finished' as const), verifyData: octets(12, 12) }),
);

describe('handshake messages', () => {
  it('read back what was written', () => {
    fc.assert(
      fc.property(message, code16, (written, sequence) => {
        const raw = writeMessage(written, sequence);
        expect(raw[0]).toBe(HANDSHAKE_CODES[written.type]);
        expect(parseMessage(written.type, raw.subarray(HANDSHAKE_HEADER))).toEqual(written);
      }),
      { numRuns: 2000, seed: 4 },
    );
  });

  it('do not parse when cut short or with octets left over', () => {
    fc.assert(
      fc.property(message, fc.nat(), octets(1, 3), (written, at, extra) => {
        const body = writeMessage(written, 0).subarray(HANDSHAKE_HEADER);
        if (body.length > 0) {
          // A hello may end where its extensions would begin (RFC 5246 §7.4.1.2).
          const cut = parseMessage(written.type, body.subarray(0, at % body.length));
          if (cut !== undefined) expect(cut).toMatchObject({ extensions: [] });
        }
        const longer = parseMessage(written.type, new Uint8Array([...body, ...extra]));
        const endsWithoutExtensions = 'extensions' in written && written.extensions.length === 0;
        if (!endsWithoutExtensions) expect(longer).toBeUndefined();
      }),
      { numRuns: 2000, seed: 5 },
    );
  });

  it('yield a message that writes to the same octets, or nothing, for any octets', () => {
    const types = fc.constantFrom(...Object.values(HANDSHAKE_CODES));
    fc.assert(
      fc.property(types, octets(0, 200), (code, body) => {
        const type = handshakeTypeOf(code);
        if (type === undefined) throw new Error('a listed code has a name');
        const parsed = parseMessage(type, body);
        // Names of authorities in certificate_request are read and not kept; an empty block of extensions is not written.
        if (parsed === undefined || parsed.type === 'certificate_request' || 'extensions' in parsed) return;
        expect(writeMessage(parsed, 0).slice(HANDSHAKE_HEADER)).toEqual(body);
      }),
      { numRuns: 5000, seed: 6 },
    );
  });

  it('parse mutations of real messages without ever throwing', () => {
    fc.assert(
      fc.property(message, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), (written, changes) => {
        const body = writeMessage(written, 0).slice(HANDSHAKE_HEADER);
        for (const [at, value] of changes) if (body.length > 0) body[at % body.length] = value;
        parseMessage(written.type, body);
      }),
      { numRuns: 5000, seed: 7 },
    );
  });
});
