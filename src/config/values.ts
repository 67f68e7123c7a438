import type { TunMtu } from '../base/brand.ts';
import { type Result, err, ok } from '../base/result.ts';
import type { AeadName } from '../crypto/aead.ts';
import { type Address, family, parseAddress } from '../net/address.ts';
import { type HostPort, parseHostPort } from '../net/endpoint.ts';
import { type InterfaceAddress, type Prefix, parseInterfaceAddress, parsePrefix, prefixText } from '../net/prefix.ts';
import type { MetricsListener } from './settings.ts';
import { type ValueParser, type ValueProblem, integer, problem, quoted } from './value.ts';

/** Parsers of the values that are particular to this configuration: names, addresses, paths, listeners, commands. */

/** Smallest inner MTU: every IPv4 host takes 576 octets (RFC 1122 §3.3.2); IPv6 needs 1280 (RFC 8200 §5). */
export const MIN_MTU_V4 = 576;
/** Smallest inner MTU that carries IPv6. */
export const MIN_MTU_V6 = 1280;

/** A tunnel name: also a device name, which Linux limits to 15 octets (IFNAMSIZ). */
export const parseTunnelName: ValueParser<string> = (text) => parseName(text, 15, 'tunnel name');

/** A peer name: a label in status, log and metrics. */
export const parsePeerName: ValueParser<string> = (text) => parseName(text, 63, 'peer name');

function parseName(text: string, max: number, what: string): Result<string, ValueProblem> {
  const odd = /[^A-Za-z0-9_=+.-]/u.exec(text);
  if (odd !== null) {
    return err(
      problem('C028', `${quoted(text)} is not a ${what}`, {
        at: odd.index,
        length: odd[0].length,
        label: 'not allowed in a name',
        help: `use 1 to ${max} of A-Z a-z 0-9 _ = + . -`,
      }),
    );
  }
  if (text.length > max) {
    return err(
      problem('C028', `a ${what} has at most ${max} characters, this one has ${text.length}`, {
        at: max,
        length: text.length - max,
        label: 'too long from here',
        help: max === 15 ? 'it names the network device too, and Linux allows 15' : 'shorten it',
      }),
    );
  }
  // The first two would leave the directory they name a file in; a leading dash reads as an option.
  if (text === '' || text === '.' || text === '..' || text.startsWith('-')) {
    return err(problem('C028', `${quoted(text)} is not a ${what}`, { help: 'begin it with a letter or a digit' }));
  }
  return ok(text);
}

/** An address of the tunnel device with the length of its on-link prefix. */
export const parseInnerAddress: ValueParser<InterfaceAddress> = (text) => {
  const parsed = parseInterfaceAddress(text);
  if (parsed === undefined)
    return err(notAddress(text, 'an address with a prefix length', '10.0.0.1/30 or fd00::1/126'));
  if (/^(?:0\.|127\.|22[4-9]\.|23\d\.|24\d\.|25\d\.|::1?$|ff)/.test(parsed.address)) {
    return err(problem('C021', `${parsed.address} cannot be a host's address`, { help: 'choose a private address' }));
  }
  return ok(parsed);
};

/** An address block. */
export const parseBlock: ValueParser<Prefix> = (text) => {
  const parsed = parsePrefix(text);
  return parsed === undefined ? err(notAddress(text, 'an address block', '10.1.0.0/16 or fd01::/48')) : ok(parsed);
};

/** A warning when `text` is a block with bits behind its length: the whole block is meant, which may be a surprise. */
export function remarkHostBits(text: string, meant: Prefix): ValueProblem | undefined {
  const written = parseInterfaceAddress(text);
  if (written === undefined || written.address === meant.address) return undefined;
  return problem('C104', `${quoted(text)} has host bits: it stands for ${prefixText(meant)}`, {
    label: 'the whole block is meant',
    help: `write ${prefixText(meant)}, or ${written.address} for the one host`,
  });
}

/** A local address to bind. */
export const parseLocalAddress: ValueParser<Address> = (text) => {
  const parsed = parseAddress(text.replace(/^\[(.*)\]$/, '$1'));
  return parsed === undefined ? err(notAddress(text, 'an address', '203.0.113.10 or 2001:db8::1')) : ok(parsed);
};

function notAddress(text: string, what: string, example: string): ValueProblem {
  const slash = text.indexOf('/');
  const host = slash < 0 ? text : text.slice(0, slash);
  const address = parseAddress(host);
  if (slash >= 0 && address !== undefined) {
    const bits = family(address) === 4 ? 32 : 128;
    return problem('C021', `${quoted(text)} is not ${what}`, {
      at: slash + 1,
      length: Math.max(1, text.length - slash - 1),
      label: `not a length from 0 to ${bits}`,
      help: `write it like ${example}`,
    });
  }
  const port = parseHostPort(text) === undefined ? '' : ' (a port has no place here)';
  return problem('C021', `${quoted(text)} is not ${what}${port}`, { help: `write it like ${example}` });
}

/** Where a peer is reached. */
export const parseEndpoint: ValueParser<HostPort> = (text) => {
  const parsed = parseHostPort(text);
  if (parsed !== undefined) return ok(parsed);
  const bare = parseAddress(text);
  const help =
    bare === undefined
      ? 'write host:port, as in vpn.example.net:4433 or [2001:db8::1]:4433'
      : `add the port: ${family(bare) === 6 ? `[${bare}]` : bare}:4433`;
  if (bare !== undefined) {
    return err(
      problem('C022', `the endpoint ${quoted(text)} has no port`, { at: text.length, label: 'missing here', help }),
    );
  }
  return err(problem('C022', `${quoted(text)} is not an endpoint`, { help }));
};

/** An inner MTU; whether it is large enough for IPv6 is judged where the addresses are known. */
export const parseMtu: ValueParser<TunMtu> = (text) => {
  const parsed = integer('MTU', MIN_MTU_V4, 65535, 'auto')(text);
  return parsed.ok ? ok(parsed.value as TunMtu) : parsed;
};

/** A packet mark: decimal, or hex with 0x. */
export const parseMark: ValueParser<number> = (text) => {
  const value = /^(?:0x[0-9a-f]{1,8}|\d{1,10})$/i.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= 0xffffffff) return ok(value);
  return err(
    problem('C023', `${quoted(text)} is not a packet mark`, {
      help: 'write 1 to 4294967295, 0x1 to 0xffffffff, or off',
    }),
  );
};

/** One AEAD by the name operators know. */
export const parseCipher: ValueParser<AeadName> = (text) => {
  const name = CIPHERS.get(text.toUpperCase());
  if (name !== undefined) return ok(name);
  const known = [...CIPHERS.keys()];
  return err(
    problem('C026', `${quoted(text)} is not a cipher`, { help: `known are ${known.join(', ')}; list the best first` }),
  );
};

/** Names of the AEADs in configuration, status and log. */
export const CIPHERS: ReadonlyMap<string, AeadName> = new Map([
  ['AES128-GCM', 'aes-128-gcm'],
  ['AES256-GCM', 'aes-256-gcm'],
  ['CHACHA20-POLY1305', 'chacha20-poly1305'],
]);

/** The operator's name of `aead`. */
export function cipherText(aead: AeadName): string {
  for (const [text, name] of CIPHERS) if (name === aead) return text;
  return aead;
}

/** A certificate file, or `credential:NAME`. Relative paths stand; the loader knows the directory. */
export const parseCertificatePath: ValueParser<string> = (text) => parsePath(text, 'Certificate');

/** A private key file, or `credential:NAME`. Never quotes the text: it may be a key. */
export const parseKeyPath: ValueParser<string> = (text) => parsePath(text, 'PrivateKey');

function parsePath(text: string, key: string): Result<string, ValueProblem> {
  if (/^[A-Za-z0-9+/]{40,}={0,2}$/.test(text) || text.includes('-----BEGIN')) {
    return err(
      problem('C018', `${key} is a file path here, not the ${key === 'PrivateKey' ? 'key' : 'certificate'} itself`, {
        label: 'write a path instead',
        help: `make a pair with  dtunnel keygen NAME  and write  ${key} = /etc/dtunnel/NAME.${key === 'PrivateKey' ? 'key' : 'crt'}`,
      }),
    );
  }
  const credential = /^credential:(.*)$/i.exec(text);
  if (credential !== null) {
    const name = credential[1] ?? '';
    // systemd.exec(5): a credential's name is a plain file name.
    if (/^[\w.-]+$/.test(name) && !/^\.\.?$/.test(name)) return ok(`credential:${name}`);
    return err(problem('C027', `${quoted(text)} names no credential`, { help: 'write credential:NAME, a plain name' }));
  }
  if (text === '' || text.includes('\0') || text.includes('\n') || text.endsWith('/')) {
    return err(
      problem('C027', `${key} needs the path of a file`, { help: 'write it in full, as in /etc/dtunnel/a.crt' }),
    );
  }
  return ok(text);
}

/** A pattern of file names to read further sections from. */
export const parseIncludePattern: ValueParser<string> = (text) =>
  text === '' || text.includes('\0') || text.includes('\n')
    ? err(problem('C030', 'Include needs a path', { help: 'as in /etc/dtunnel/peers.d/*.conf' }))
    : ok(text);

/** Where metrics are served. */
export const parseMetrics: ValueParser<MetricsListener> = (text) => {
  if (text.toLowerCase() === 'off') return ok({ kind: 'off' });
  const help = 'write address:port as in 127.0.0.1:9469, unix:/path, or off';
  const unix = /^unix:(.*)$/i.exec(text)?.[1];
  if (unix !== undefined) {
    // unix(7): sun_path holds 108 octets, the last one zero.
    if (unix.startsWith('/') && unix.length < 108 && !/[\0\n]/.test(unix)) return ok({ kind: 'unix', path: unix });
    return err(
      problem('C029', `${quoted(text)} is not a metrics listener`, { help: 'a socket path is absolute and short' }),
    );
  }
  const parsed = parseHostPort(text.replace(/^\*:/, '[::]:'));
  if (parsed === undefined || (parseAddress(parsed.host) === undefined && parsed.host !== 'localhost')) {
    return err(problem('C029', `${quoted(text)} is not a metrics listener`, { help }));
  }
  return ok({ kind: 'tcp', host: parsed.host, port: parsed.port });
};

/** The text of `listener` as configured. */
export function metricsText(listener: MetricsListener): string {
  if (listener.kind === 'off') return 'off';
  if (listener.kind === 'unix') return `unix:${listener.path}`;
  return `${listener.host.includes(':') ? `[${listener.host}]` : listener.host}:${listener.port}`;
}

/** A token that guards the metrics listener. Never quotes the text. */
export const parseToken: ValueParser<string> = (text) => {
  // RFC 6750 §2.1: what a bearer token may consist of; a colon only in front of a credential's name.
  if (/^(?:credential:[\w.-]+|[A-Za-z0-9._~+/-]{16,256}=*)$/.test(text)) return ok(text);
  return err(
    problem('C029', 'this is not a usable token', {
      help: `use 16 to 256 of A-Z a-z 0-9 . _ ~ + / - (openssl rand -hex 32), \${VARIABLE}, or credential:NAME`,
    }),
  );
};

/** The words of a command: an absolute path, then arguments. No shell is involved. */
export function checkCommand(words: readonly string[]): ValueProblem | undefined {
  const program = words[0] ?? '';
  if (!program.startsWith('/') || program.includes('\0')) {
    return problem('C027', `a hook must be an absolute path, ${quoted(program)} is not`, {
      help: 'hooks run without a shell: write /path/to/program, then its arguments',
    });
  }
  return undefined;
}
