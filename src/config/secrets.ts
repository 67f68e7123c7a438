/**
 * What must never be shown although it stands in a configuration text: tokens, and key material that somebody pasted
 * where a path belongs. Diagnostics show source lines, so every shown line passes through here first.
 */

/** `line` with secrets replaced by asterisks, one for one. */
export function maskSecrets(line: string): string {
  const setting = /^(\s*)([A-Za-z]{1,23})(\s*=\s*)(.*)$/.exec(line);
  if (setting === null) return maskKeyMaterial(line);
  const [, indent = '', key = '', equals = '', value = ''] = setting;
  return indent + key + equals + maskValue(key.toLowerCase(), value);
}

/** Text that may be quoted in a message: long runs of base64, as in a pasted PEM block, are masked. */
export function maskKeyMaterial(text: string): string {
  return text.replace(/[A-Za-z0-9+/=]{24,}/g, (run) => '*'.repeat(run.length));
}

/** Keys whose values are secrets whatever they look like. */
const SECRET_KEYS: ReadonlySet<string> = new Set(['metricstoken', 'presharedkey']);

function maskValue(key: string, value: string): string {
  if (key === 'fingerprint' || isReference(value)) return value;
  if (SECRET_KEYS.has(key)) return '*'.repeat(value.length);
  if (isPath(value)) return value;
  return key === 'privatekey' ? '*'.repeat(value.length) : maskKeyMaterial(value);
}

/** Names of secrets are no secrets; the default of a variable reference may be one. */
function isReference(value: string): boolean {
  return /^(?:\$\{\w+\}|credential:[\w.-]+)\s*$/.test(value);
}

function isPath(value: string): boolean {
  // A base64 key may begin with a slash: 32 octets are 43 characters and a '='.
  if (/^"?[A-Za-z0-9+/]{40,}={0,2}/.test(value)) return false;
  return /^"?(?:[/.~]|[\w.-]+\/|[\w.-]+\.(?:crt|key|pem)\b)/.test(value);
}
