import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';

/** Application protocols: what the client offers, or the one that the server chose (RFC 7301 §3.1). */
export interface ApplicationProtocols {
  readonly type: 'application_protocols';
  /** Names as Latin-1 text, one character an octet, 1 … 255 long. */
  readonly protocols: readonly string[];
}

/** The extension in `body`; undefined when it does not parse. */
export function parseApplicationProtocols(body: Uint8Array): ApplicationProtocols | undefined {
  const outer = new Reader(body);
  const r = new Reader(outer.vector(2));
  const protocols: string[] = [];
  while (!r.empty) {
    const name = r.vector(1);
    if (name.length === 0) r.poison();
    protocols.push(String.fromCharCode(...name));
  }
  return outer.done && r.ok && protocols.length > 0 ? { type: 'application_protocols', protocols } : undefined;
}

/** The extension's body. */
export function writeApplicationProtocols(extension: ApplicationProtocols): Uint8Array {
  return new Writer(64)
    .vector(2, (w) => {
      for (const name of extension.protocols)
        w.vector(
          1,
          Uint8Array.from(name, (c) => c.charCodeAt(0)),
        );
    })
    .take();
}
