import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';

/** RFC 5246 §7.4.2 and §7.4.6: DER, leaf first; empty when a client has none. Copies. */
export interface Certificate {
  readonly type: 'certificate';
  readonly chain: readonly Uint8Array[];
}

/** The message in `body`; undefined when it does not parse. */
export function parseCertificate(body: Uint8Array): Certificate | undefined {
  const outer = new Reader(body);
  const r = new Reader(outer.vector(3));
  const chain: Uint8Array[] = [];
  while (!r.empty) {
    const der = r.vector(3);
    if (der.length === 0) r.poison();
    chain.push(der.slice());
  }
  return outer.done && r.ok ? { type: 'certificate', chain } : undefined;
}

/** The message's body. */
export function writeCertificate(message: Certificate): Uint8Array {
  return new Writer(1024)
    .vector(3, (w) => {
      for (const der of message.chain) w.vector(3, der);
    })
    .take();
}
