import type { ErrorCode } from '../../base/errors.ts';
import type { Explanation } from './explanation.ts';

/** Codes of class K: certificates and private keys. */
export const KEY_EXPLANATIONS: Readonly<Record<Extract<ErrorCode, `K${string}`>, Explanation>> = {
  K001: {
    title: 'a certificate or key cannot be read',
    text: 'The file that Certificate or PrivateKey names does not exist, is no regular file, or may not be read by the user that dtunnel runs as.',
    example: '$ dtunnel keygen paris      # makes /etc/dtunnel/paris.crt and paris.key',
  },
  K002: {
    title: 'others can read or replace the private key',
    text: 'Whoever has the key is this side. The file must have mode 0600 or 0400 and belong to root or to the user that dtunnel runs as; its directory must not be open for writing to others; and a symbolic link to it must be made by one of the two. Keys that come as systemd credentials are guarded by systemd.',
    example: '$ chown dtunnel: /etc/dtunnel/paris.key\n$ chmod 600 /etc/dtunnel/paris.key',
  },
  K003: {
    title: 'certificate and private key do not belong together',
    text: 'The public key in the certificate is not that of the private key, so no handshake could be signed. Usually one of the two files was replaced.',
    example:
      '$ dtunnel keygen paris --dir /etc/dtunnel/new      # a new pair; then tell the other side its fingerprint',
  },
  K004: {
    title: 'not a certificate or key in PEM form',
    text: 'Certificates are PEM blocks that begin with BEGIN CERTIFICATE, keys PEM blocks that begin with BEGIN PRIVATE KEY. A key with a passphrase cannot be used: nobody is there to type it.',
    example: '$ openssl x509 -in paris.der -inform der -out paris.crt\n$ openssl pkey -in encrypted.key -out plain.key',
  },
  K005: {
    title: 'the key is there already',
    text: 'dtunnel keygen never overwrites: a lost key ends the link until the other side has a new fingerprint. With --if-missing an existing pair is taken as it is.',
    example: '$ dtunnel keygen paris --if-missing      # for scripts: makes a pair once',
  },
  K006: {
    title: 'a credential is missing',
    text: 'credential:NAME is a file that systemd hands to the service. This process was started without it: the unit does not load it, or dtunnel was started by hand.',
    example: '[Service]\nLoadCredential=paris.key:/etc/dtunnel/paris.key',
  },
  K007: {
    title: 'a key that cannot sign our handshakes',
    text: 'Handshakes are signed with ECDSA on P-256 or P-384, Ed25519, or RSA of at least 2048 bits. Other kinds of key, and shorter ones, are refused.',
    example: '$ dtunnel keygen paris --key-type p256',
  },
};
