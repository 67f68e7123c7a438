import { createHash } from 'node:crypto';
import type { Instant } from '../base/brand.ts';
import { DtunnelError } from '../base/errors.ts';
import { renderSettings } from '../config/render.ts';
import type { Settings } from '../config/settings.ts';
import { readCertificate } from '../crypto/certificate.ts';
import type { Identity } from '../crypto/identity.ts';
import type { DaemonParts } from './parts.ts';

/** Settings with all that was read along with them. */
export interface Configuration {
  readonly settings: Settings;
  readonly identity: Identity;
  /** SHA-256 of the settings in canonical form, hex: comments and layout do not count. */
  readonly hash: string;
  /** notAfter of our certificate, epoch seconds. */
  readonly certificateNotAfter: number;
  readonly metricsToken: string | undefined;
  /** Warnings of the file, one line each. */
  readonly warnings: readonly string[];
}

/** A configuration in force, and since when. */
export interface InForce extends Configuration {
  /** 1 at start; one more with every reload or revert. */
  readonly generation: number;
  readonly since: Instant;
}

/** Reads everything that file `path` names. Throws `DT_CONFIG_REJECTED` with all diagnostics, or DtunnelError K…. */
export function readConfiguration(
  path: string,
  parts: Pick<DaemonParts, 'load' | 'readIdentity' | 'readToken'>,
): Configuration {
  const loaded = parts.load(path);
  if (!loaded.ok) {
    const errors = loaded.error.items.filter((item) => item.severity === 'error').length + loaded.error.omitted;
    throw new DtunnelError('S030', `${path} has ${errors} error${errors === 1 ? '' : 's'}`, { details: loaded.error });
  }
  const { settings, warnings } = loaded.value;
  return configurationOf(
    settings,
    warnings.items.map(({ file, line, message }) => `${file}${line === undefined ? '' : `:${line}`}: ${message}`),
    parts,
  );
}

/** `settings` with everything that they name. Throws DtunnelError K…. */
export function configurationOf(
  settings: Settings,
  warnings: readonly string[],
  parts: Pick<DaemonParts, 'readIdentity' | 'readToken'>,
): Configuration {
  const identity = parts.readIdentity(settings.interface);
  const leaf = identity.certificates[0];
  const token = settings.interface.metricsToken;
  return {
    settings,
    identity,
    hash: createHash('sha256').update(renderSettings(settings)).digest('hex'),
    certificateNotAfter: (leaf === undefined ? undefined : readCertificate(leaf)?.notAfter) ?? 0,
    metricsToken: token === undefined ? undefined : parts.readToken(token),
    warnings,
  };
}
