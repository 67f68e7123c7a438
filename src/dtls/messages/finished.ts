/** Proof that both sides saw the same handshake (RFC 5246 §7.4.9). A copy. */
export interface Finished {
  readonly type: 'finished';
  readonly verifyData: Uint8Array;
}

/** Octets of verify_data for all our suites. */
export const VERIFY_DATA_LENGTH = 12;

/** The message in `body`; undefined when its length is wrong. */
export function parseFinished(body: Uint8Array): Finished | undefined {
  return body.length === VERIFY_DATA_LENGTH ? { type: 'finished', verifyData: body.slice() } : undefined;
}

/** The message's body. */
export function writeFinished(message: Finished): Uint8Array {
  return message.verifyData.slice();
}
