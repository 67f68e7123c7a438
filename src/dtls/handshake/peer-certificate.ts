import { fingerprintOf, formatFingerprint } from '../../crypto/fingerprint.ts';
import { type VerificationKey, verificationKeyOf } from '../../crypto/public-key.ts';
import type { Certificate } from '../messages/certificate.ts';
import type { Suite } from '../suites.ts';
import type { HandshakeConfig } from './config.ts';
import { type Abort, type AcceptedPeer, abort, type Negotiated } from './step.ts';

/** A peer whose fingerprint is allowed, with the key that must sign for it. */
export interface JudgedPeer extends AcceptedPeer {
  readonly kind: 'peer';
  readonly verifier: VerificationKey;
  readonly auth: Suite['auth'];
}

/**
 * The peer behind a Certificate message, or why it is refused. The leaf's fingerprint decides and is judged before the
 * certificate is parsed: a stranger's DER never reaches the parser. Chain, names and dates are no authority.
 */
export function judgeCertificate(
  message: Certificate,
  config: HandshakeConfig,
  negotiated: Negotiated,
): JudgedPeer | Abort {
  const [leaf] = message.chain;
  if (leaf === undefined) {
    return abort('no_certificate', { seen: 'an empty certificate list', ...expectedBy(config) });
  }
  const fingerprint = fingerprintOf(leaf);
  const authorization = config.authorize(fingerprint);
  if (authorization === undefined) {
    return abort('unknown_fingerprint', { seen: formatFingerprint(fingerprint), ...expectedBy(config) });
  }
  if (!negotiated.extendedMasterSecret && !authorization.allowLegacyPeer) {
    return abort('no_extended_master_secret', {
      seen: 'a peer without extended_master_secret (RFC 7627)',
      expected: 'extended_master_secret, or AllowLegacyPeer for this peer',
    });
  }
  const verifier = verificationKeyOf(leaf);
  if (verifier === 'malformed') {
    return abort('bad_certificate', { seen: 'a certificate that does not parse', expected: 'an X.509 certificate' });
  }
  if (verifier === 'unsupported') {
    return abort('bad_certificate', {
      alert: 'unsupported_certificate',
      seen: 'a certificate with a key that is not supported',
      expected: 'P-256, P-384, Ed25519 or RSA of 2048 bits',
    });
  }
  const auth = verifier.type === 'rsa' ? 'rsa' : 'ecdsa';
  return { kind: 'peer', fingerprint, certificate: leaf, verifier, auth };
}

function expectedBy(config: HandshakeConfig): { readonly expected?: string } {
  return config.expected === undefined ? {} : { expected: config.expected };
}
