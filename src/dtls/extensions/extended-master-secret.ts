/** The master secret covers the whole handshake so far (RFC 7627 §5.1). The body is empty. */
export interface ExtendedMasterSecret {
  readonly type: 'extended_master_secret';
}

/** The extension in `body`; undefined when it is not empty. */
export function parseExtendedMasterSecret(body: Uint8Array): ExtendedMasterSecret | undefined {
  return body.length === 0 ? { type: 'extended_master_secret' } : undefined;
}

/** The extension's body. */
export function writeExtendedMasterSecret(_extension: ExtendedMasterSecret): Uint8Array {
  return new Uint8Array(0);
}
