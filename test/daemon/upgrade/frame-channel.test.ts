import { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { FrameChannel } from '../../../src/daemon/upgrade/frame-channel.ts';

/** A stream that remembers what was written, and says what it is told to. */
function stream() {
  const written: Buffer[] = [];
  const sent: Buffer[] = [];
  const duplex = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      sent.push(chunk);
      written.push(Buffer.from(chunk));
      done();
    },
  });
  return { duplex, sent, written: () => Buffer.concat(written) };
}

function frame(document: object, octets: Uint8Array): Buffer {
  const { duplex, written } = stream();
  new FrameChannel(duplex).send(document, octets);
  return written();
}

describe('a channel between two daemons', () => {
  it('puts frames together however they come', async () => {
    const octets = Uint8Array.from({ length: 300 }, (_, i) => i % 256);
    const bytes = Buffer.concat([frame({ kind: 'a' }, octets), frame({ kind: 'ü' }, new Uint8Array(0))]);
    for (const step of [1, 7, 299, bytes.length]) {
      const { duplex } = stream();
      const channel = new FrameChannel(duplex);
      for (let at = 0; at < bytes.length; at += step) duplex.push(Buffer.from(bytes.subarray(at, at + step)));
      expect(await channel.receive()).toEqual({ document: { kind: 'a' }, octets });
      expect(await channel.receive()).toEqual({ document: { kind: 'ü' }, octets: new Uint8Array(0) });
    }
  });

  it('overwrites what it read and what it wrote', async () => {
    const { duplex, sent } = stream();
    const channel = new FrameChannel(duplex);
    const incoming = frame({ kind: 'a' }, Uint8Array.of(9, 9, 9));
    duplex.push(incoming);
    await channel.receive();
    expect(incoming.every((octet) => octet === 0)).toBe(true);
    channel.send({ kind: 'b' }, Uint8Array.of(7, 7, 7));
    await new Promise((resolve) => setImmediate(resolve));
    expect(sent[0]?.every((octet) => octet === 0)).toBe(true);
  });

  it('rejects when the other end is gone, waiting or asked later', async () => {
    const { duplex } = stream();
    const channel = new FrameChannel(duplex);
    const waiting = channel.receive();
    duplex.push(null);
    await expect(waiting).rejects.toMatchObject({ code: 'S042' });
    await expect(channel.receive()).rejects.toMatchObject({ code: 'S042' });
  });

  it('rejects what is no JSON, and a length that cannot be', async () => {
    const bad = stream();
    bad.duplex.push(Buffer.concat([Buffer.from([0, 0, 0, 1, 0, 0, 0, 0]), Buffer.from('{')]));
    await expect(new FrameChannel(bad.duplex).receive()).rejects.toMatchObject({ code: 'S042' });
    const huge = stream();
    huge.duplex.push(Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]));
    await expect(new FrameChannel(huge.duplex).receive()).rejects.toMatchObject({ code: 'S042' });
  });
});
