/** Names of cipher suites as operators know them. */

/** OpenSSL's name for an IANA suite name: `ECDHE-ECDSA-AES128-GCM-SHA256`; anything unknown comes back unchanged. */
export function opensslCipherName(iana: string): string {
  const match = /^TLS_(ECDHE)_(ECDSA|RSA)_WITH_(?:AES_(128|256)_GCM_(SHA\d+)|CHACHA20_POLY1305_SHA256)$/.exec(iana);
  if (match === null) return iana;
  const [, exchange, signature, aesBits, hash] = match;
  // OpenSSL leaves the hash out of the ChaCha20 names: ciphers(1).
  const aead = aesBits === undefined ? 'CHACHA20-POLY1305' : `AES${aesBits}-GCM-${hash}`;
  return `${exchange}-${signature}-${aead}`;
}

/** The part that says how packets are protected: `AES128-GCM`, `CHACHA20-POLY1305`. Takes either form of name. */
export function shortCipherName(name: string): string {
  const match = /AES(?:_)?(128|256)[_-]GCM|(CHACHA20)[_-]POLY1305/.exec(name);
  if (match === null) return name;
  return match[1] === undefined ? 'CHACHA20-POLY1305' : `AES${match[1]}-GCM`;
}
