/** Keys of wg(8) and wg-quick(8) that are no keys here: recognised only to say what to write instead. */

/** What is said about a WireGuard key. */
export interface WireguardHelp {
  readonly message: string;
  readonly label: string;
  readonly help: string;
}

/** What to say when `key` is one of WireGuard's; undefined for any other. */
export function wireguardHelp(key: string): WireguardHelp | undefined {
  const entry = HELP.get(key.toLowerCase());
  return entry === undefined ? undefined : { message: entry[0], label: entry[1], help: entry[2] };
}

const HOOKS: readonly [string, string, string] = [
  'hooks run without a shell here',
  'a wg-quick key',
  'use OnUp or OnDown with the absolute path of a program and its arguments',
];

const HELP: ReadonlyMap<string, readonly [string, string, string]> = new Map([
  [
    'publickey',
    [
      'dtunnel peers are named by Fingerprint, not by PublicKey',
      'write Fingerprint instead',
      'run  dtunnel fingerprint cert.pem  for the certificate of the peer',
    ],
  ],
  [
    'presharedkey',
    [
      'there are no pre-shared keys: a peer is its certificate',
      'remove this line',
      'every handshake is forward secret, and the pinned Fingerprint admits nobody else',
    ],
  ],
  ['preup', HOOKS],
  ['postup', HOOKS],
  ['predown', HOOKS],
  ['postdown', HOOKS],
  [
    'saveconfig',
    [
      'dtunnel never writes to its configuration',
      'remove this line',
      'edit the file, then run  dtunnel reload; --plan shows what would change',
    ],
  ],
  [
    'dns',
    [
      "the host's resolver is left alone",
      'remove this line',
      'set it with OnUp = /usr/bin/resolvectl dns dt-NAME 10.0.0.53',
    ],
  ],
]);
