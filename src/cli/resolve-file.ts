import { join } from 'node:path';

/** Directory of the configurations that are called by name. */
export const CONFIG_DIRECTORY = '/etc/dtunnel';

/** The directory that names are looked up in: `$DTUNNEL_CONFIG_DIR`, else /etc/dtunnel. */
export function configDirectory(env: Readonly<Record<string, string | undefined>>): string {
  const override = env['DTUNNEL_CONFIG_DIR'];
  return override === undefined || override === '' ? CONFIG_DIRECTORY : override;
}

/**
 * The file that a NAME or a path on the command line means: `paris` is /etc/dtunnel/paris.conf; what holds a slash or
 * ends in `.conf` is a path, and stays as it was typed.
 */
export function resolveConfigFile(nameOrPath: string, env: Readonly<Record<string, string | undefined>>): string {
  return isName(nameOrPath) ? join(configDirectory(env), `${nameOrPath}.conf`) : nameOrPath;
}

/** The tunnel that a NAME or a path means as long as its file was not read: the base name without `.conf`. */
export function tunnelName(nameOrPath: string): string {
  return nameOrPath.slice(nameOrPath.lastIndexOf('/') + 1).replace(/\.conf$/, '');
}

function isName(text: string): boolean {
  return /^[A-Za-z0-9_=+.-]+$/.test(text) && !text.endsWith('.conf') && text !== '.' && text !== '..';
}
