/** The server's flight ends here (RFC 5246 §7.4.5). The body is empty. */
export interface ServerHelloDone {
  readonly type: 'server_hello_done';
}

/** The message in `body`; undefined when it is not empty. */
export function parseServerHelloDone(body: Uint8Array): ServerHelloDone | undefined {
  return body.length === 0 ? { type: 'server_hello_done' } : undefined;
}

/** The message's body. */
export function writeServerHelloDone(_message: ServerHelloDone): Uint8Array {
  return new Uint8Array(0);
}
