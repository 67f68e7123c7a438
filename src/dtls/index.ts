/**
 * The package export `dtunnel/dtls`: a DTLS 1.2 engine without IO, for both roles. Importing it opens nothing and starts
 * nothing. README.md beside this file says how it is driven.
 */
export type { Duration, Fingerprint, Instant } from '../base/brand.ts';
export { ms, seconds } from '../base/brand.ts';
export { type Clock, monotonicClock } from '../base/clock.ts';
export type { Result } from '../base/result.ts';
export type { AeadName, RecordKeys } from '../crypto/aead.ts';
export {
  type CertificateSummary,
  createSelfSigned,
  type IdentityProblem,
  readCertificate,
  readIdentity,
  type SelfSigned,
  type SelfSignedOptions,
} from '../crypto/certificate.ts';
export { fingerprintBase64, fingerprintOf, formatFingerprint, parseFingerprint } from '../crypto/fingerprint.ts';
export type { Identity } from '../crypto/identity.ts';
export { systemRandom } from '../crypto/random.ts';
export { ALERTS, type AlertName, alertText } from './alert.ts';
export { CLOSE_CODES } from './close-codes.ts';
export { Connection } from './connection.ts';
export { type Continuation, ContinuedConnection, type LastFlight } from './continuation.ts';
export { DROP_REASONS, type DropCounts, type DropReason } from './drops.ts';
export type { CloseCode, CloseReason, ContentType, Effect, EpochKeys, Established, Role } from './effects.ts';
export { isSameHello, Listener, type ListenerOptions } from './listener.ts';
export type { Authorization, ConnectionOptions, CryptoSource, GroupName, SuiteName } from './options.ts';
export type { FrontDoorDrop, FrontDoorVerdict, SansIo } from './sans-io.ts';
