import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';

/** The form that several extensions and messages share: a vector of code points, never empty. */

/** The code points of `width` octets each in a vector that fills `body`; undefined when it does not parse. */
export function parseCodes(body: Uint8Array, lengthWidth: 1 | 2, width: 1 | 2): readonly number[] | undefined {
  const outer = new Reader(body);
  const r = new Reader(outer.vector(lengthWidth));
  const codes: number[] = [];
  while (!r.empty) codes.push(r.uint(width));
  return outer.done && r.ok && codes.length > 0 ? codes : undefined;
}

/** A vector of code points. */
export function writeCodes(codes: readonly number[], lengthWidth: 1 | 2, width: 1 | 2): Uint8Array {
  return new Writer(2 + codes.length * width)
    .vector(lengthWidth, (w) => {
      for (const code of codes) w.uint(code, width);
    })
    .take();
}
