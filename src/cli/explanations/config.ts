import type { ConfigCode } from '../../config/diagnostic.ts';
import type { Explanation } from './explanation.ts';

/** Codes of class C: configurations, and pairs of them. */
export const CONFIG_EXPLANATIONS: Readonly<Record<ConfigCode, Explanation>> = {
  C001: {
    title: 'the configuration cannot be read',
    text: 'The file does not exist, is a directory, or may not be read by the user who runs dtunnel. A name without a slash means a file in /etc/dtunnel.',
    example:
      'dtunnel check paris          # reads /etc/dtunnel/paris.conf\ndtunnel check ./paris.conf   # reads the file in this directory',
  },
  C002: {
    title: 'the file is not plain UTF-8 text',
    text: 'The file holds octets that are no UTF-8, or a control character. Both are invisible in most editors and would make a key or a name differ from what it looks like.',
    example: 'iconv -f latin1 -t utf-8 paris.conf > paris.utf8.conf',
  },
  C003: {
    title: 'a line that is nothing',
    text: 'Every line is a section header, a setting, a comment, or empty. A setting needs an equals sign; a header needs both brackets.',
    example: 'ListenPort 4433        # wrong\nListenPort = 4433      # right',
  },
  C004: {
    title: 'a quote without its end',
    text: 'A quoted value ends on the line it began on.',
    example:
      'OnUp = /usr/local/bin/notify "Paris is up      # wrong\nOnUp = /usr/local/bin/notify "Paris is up"     # right',
  },
  C005: {
    title: 'an escape that does not exist',
    text: 'Inside quotes a backslash begins an escape. There are four: a quote, a backslash, a newline and a tab.',
    example: 'OnUp = /bin/notify "C:\\temp"      # wrong\nOnUp = /bin/notify "C:\\\\temp"     # right',
  },
  C006: {
    title: 'a quoted value next to other text',
    text: 'A quoted value is a whole value, or a whole word of a command. Pieces are not glued together as a shell would do.',
    example: 'Certificate = /etc/"my keys"/a.crt      # wrong\nCertificate = "/etc/my keys/a.crt"      # right',
  },
  C007: {
    title: 'a variable reference that cannot be read',
    text: `Variables of the environment are written \${NAME}, or \${NAME:-default} where a default is wanted. Inside quotes nothing is expanded.`,
    example: `ListenPort = \${PORT            # wrong\nListenPort = \${PORT:-4433}     # right`,
  },
  C008: {
    title: 'an environment variable without a value',
    text: `The variable is not set, is empty, or holds a control character. An empty default, \${NAME:-}, says that nothing is meant.`,
    example: `Endpoint = \${PEER_HOST}:4433                       # PEER_HOST must be set\nEndpoint = \${PEER_HOST:-vpn.example.net}:4433      # or has a default`,
  },
  C009: {
    title: 'the configuration is too large',
    text: 'A file may have 16 MiB, which is room for tens of thousands of peers, and one Include pattern may name 100,000 files. More than that is a mistake.',
    example: 'Include = /etc/dtunnel/peers.d/*.conf      # one directory, not all of /etc',
  },
  C010: {
    title: 'an unknown section',
    text: 'There are two kinds of section: [Interface], once and without a name, and [Peer], as often as there are peers, which may carry a name.',
    example: '[Peers]           # wrong\n[Peer berlin]     # right: the same as [Peer] with Name = berlin',
  },
  C011: {
    title: 'a setting outside every section',
    text: 'A setting belongs to the section header above it. Only Include may stand at the top of the file.',
    example: 'Address = 172.31.0.1/30      # wrong\n\n[Interface]\nAddress = 172.31.0.1/30      # right',
  },
  C012: {
    title: 'an unknown key',
    text: 'The key does not exist. It is never ignored: a misspelt key would otherwise be a setting that silently has its default. Upper and lower case do not matter.',
    example: 'Endpiont = vpn.example.net:4433      # wrong\nEndpoint = vpn.example.net:4433      # right',
  },
  C013: {
    title: 'a key in the wrong section',
    text: 'The key exists, but belongs to the other section.',
    example:
      '[Peer]\nListenPort = 4433      # wrong: the port is that of this side\n\n[Interface]\nListenPort = 4433      # right',
  },
  C014: {
    title: 'a key that is set twice',
    text: 'The key takes one value and has two, and which is meant cannot be known. Only keys that take lists may be repeated.',
    example:
      'MTU = 1400\nMTU = 1420             # wrong\n\nAllowedIPs = 10.1.0.0/16\nAllowedIPs = 10.2.0.0/16      # right: a list',
  },
  C015: {
    title: 'a required key is missing',
    text: '[Interface] needs Address, Certificate and PrivateKey; [Peer] needs Fingerprint and AllowedIPs.',
    example:
      '[Peer]\nName        = berlin\nFingerprint = cb:2f:a4:06:...:ad:3c\nAllowedIPs  = 172.31.0.1/32, 10.1.0.0/16',
  },
  C016: {
    title: 'a key without a value',
    text: 'Nothing stands behind the equals sign. dtunnel keygen prints such a line for AllowedIPs, to be filled in with the networks behind the peer.',
    example:
      'AllowedIPs =                                   # wrong\nAllowedIPs = 172.31.0.2/32, 10.2.0.0/16        # right',
  },
  C017: {
    title: 'several values where one is taken',
    text: 'A comma separates values, and this key takes one. Text that holds a comma is put into quotes.',
    example:
      'ListenPort = 4433, 4434                    # wrong\nCertificate = "/etc/dtunnel/a,b.crt"       # right: one value with a comma',
  },
  C018: {
    title: 'something of WireGuard',
    text: 'The format follows that of wg-quick, but identities are certificates: a peer is named by the fingerprint of its certificate, and Certificate and PrivateKey are files. There are no pre-shared keys, and hooks run without a shell.',
    example: '$ dtunnel convert /etc/wireguard/wg0.conf > /etc/dtunnel/paris.conf',
  },
  C019: {
    title: 'not exactly one [Interface]',
    text: 'A file describes one tunnel, so it has one [Interface]. Further tunnels have files, devices and ports of their own.',
    example: '/etc/dtunnel/paris.conf      # one tunnel\n/etc/dtunnel/lyon.conf       # another one',
  },
  C020: {
    title: 'not a fingerprint',
    text: 'A peer is named by the SHA-256 of its certificate in DER form: 32 bytes in hex, with or without colons, or base64 behind SHA256:. A fingerprint of 20 bytes is a SHA-1. At most two are allowed, the old one and the new one of a rotation.',
    example:
      '$ dtunnel fingerprint /etc/dtunnel/paris.crt\n$ openssl x509 -in paris.crt -noout -fingerprint -sha256      # the same, behind the equals sign',
  },
  C021: {
    title: 'not an address or an address block',
    text: 'Address takes host addresses with the length of their network; AllowedIPs takes blocks. Both take IPv4 and IPv6, and neither takes a port or a name.',
    example: 'Address    = 172.31.0.1/30, fd31::1/126\nAllowedIPs = 10.1.0.0/16, fd01::/48',
  },
  C022: {
    title: 'not an endpoint',
    text: 'An endpoint is a host name or an address with a UDP port. An IPv6 address stands in brackets. Several endpoints are tried in their order, and the second is kept warm.',
    example: 'Endpoint = vpn.example.net:4433, 198.51.100.7:4433, [2001:db8::7]:4433',
  },
  C023: {
    title: 'not a number in range',
    text: 'The key takes a whole number within the bounds that the message names.',
    example: 'ListenPort = 70000      # wrong: ports end at 65535\nListenPort = 4433       # right',
  },
  C024: {
    title: 'not a duration',
    text: 'A duration is a whole number with ms, s, m, h or d. A number alone is in seconds.',
    example: 'DeadAfter  = 1.5s        # wrong\nDeadAfter  = 1500ms      # right\nRekeyAfter = 1h',
  },
  C025: {
    title: 'not a size or a rate',
    text: 'Sizes are bytes, or whole numbers with KiB, MiB, GiB or TiB. Rates are numbers with kbit, mbit or gbit, as in tc(8).',
    example: 'RekeyAfterData = 64GiB\nRateLimit      = 1.5gbit',
  },
  C026: {
    title: 'not one of the words',
    text: 'The key takes one of a few words, which the message lists. Upper and lower case do not matter.',
    example: 'Forwarding = yes        # wrong\nForwarding = set        # right: check, set or off',
  },
  C027: {
    title: 'not a path',
    text: 'Certificate and PrivateKey name files, or systemd credentials as credential:NAME. Hooks begin with the absolute path of a program, since no shell looks for it.',
    example: 'OnUp = notify.sh paris                      # wrong\nOnUp = /usr/local/bin/notify.sh paris       # right',
  },
  C028: {
    title: 'not a name',
    text: 'A tunnel has 1 to 15 characters, since its name is that of the network device too; a peer has up to 63. Letters, digits and _ = + . - may be used. Without a Name, the base name of the file is taken.',
    example: 'Name = head office        # wrong: a space\nName = head-office        # right',
  },
  C029: {
    title: 'not a metrics listener, or not a token',
    text: 'Metrics takes an address with a port, unix: with an absolute path, or off; a name would have to be resolved before anything can be watched. A token has 16 to 256 characters that HTTP can carry.',
    example: `Metrics      = 10.1.0.1:9469\nMetricsToken = \${METRICS_TOKEN}      # openssl rand -hex 32`,
  },
  C030: {
    title: 'an Include that does not work',
    text: 'The pattern names a file that cannot be read, or the included file holds more than [Peer] sections. What makes the tunnel stays in one file, where it is looked for.',
    example: 'Include = /etc/dtunnel/peers.d/*.conf      # each with [Peer] sections only',
  },
  C031: {
    title: 'two peers claim the same addresses',
    text: 'A packet goes to one peer. Where prefixes of two peers overlap, it has to be said who comes first: the peer with the lower Priority carries the traffic, the other is its standby. That holds for a block inside another as well.',
    example:
      '[Peer berlin-1]\nAllowedIPs = 10.1.0.0/16\nPriority   = 10\n\n[Peer berlin-2]\nAllowedIPs = 10.1.0.0/16\nPriority   = 20      # takes over when berlin-1 is down',
  },
  C032: {
    title: 'two peers with one name',
    text: 'The name is the label of a peer in status, logs and metrics. Two peers with the same one could not be told apart.',
    example: '[Peer berlin-1]\n...\n[Peer berlin-2]',
  },
  C033: {
    title: 'two peers with one fingerprint',
    text: 'The fingerprint is the identity of a peer: whoever proves it is that peer. Two sites that share a certificate are one peer, or one of them needs a certificate of its own.',
    example: '$ dtunnel keygen lyon      # on the second site; then use what it prints',
  },
  C034: {
    title: 'no ListenPort, but somebody has to call us',
    text: 'A peer without an Endpoint cannot be called, so it has to call this side, at a port it knows. Only when every peer has an Endpoint may the kernel choose the port.',
    example: '[Interface]\nListenPort = 4433',
  },
  C035: {
    title: 'our own address behind the peer',
    text: 'AllowedIPs name what lies behind the peer, its own inner address included. The Address of this side was put there, most often by pasting the wrong block.',
    example:
      '[Interface]\nAddress    = 172.31.0.1/30\n[Peer paris]\nAllowedIPs = 172.31.0.2/32, 10.2.0.0/16      # the address of paris',
  },
  C036: {
    title: 'an MTU too small for IPv6',
    text: 'Every link that carries IPv6 has an MTU of at least 1280 (RFC 8200, section 5); with less, the kernel turns IPv6 off on the device.',
    example: 'MTU = auto      # or 1280 and more',
  },
  C037: {
    title: 'metrics open to the network',
    text: 'Metrics name peers, addresses and fingerprints. On an address that others reach, the listener asks for a token; on a loopback address or a unix socket it does not have to.',
    example: `Metrics      = 10.1.0.1:9469\nMetricsToken = \${METRICS_TOKEN}`,
  },
  C040: {
    title: 'the two ends do not know each other',
    text: 'Each side pins the fingerprint of the certificate that the other side has. One of the two files has no peer for the other, or pins another certificate.',
    example: '$ dtunnel fingerprint /etc/dtunnel/paris.crt      # on paris; set it in the [Peer] of berlin',
  },
  C041: {
    title: 'the prefixes of the two ends do not mirror',
    text: 'What one side calls its Address has to be in the AllowedIPs of the other, or its packets are dropped; and a network cannot be behind both.',
    example:
      '# berlin.conf                      # paris.conf\nAddress    = 172.31.0.1/30         Address    = 172.31.0.2/30\nAllowedIPs = 172.31.0.2/32         AllowedIPs = 172.31.0.1/32',
  },
  C042: {
    title: 'neither side can call the other',
    text: 'At least one side needs an Endpoint for the other, and the other a ListenPort that does not change.',
    example:
      '# berlin.conf              # paris.conf\nListenPort = 4433          Endpoint = vpn.berlin.example.net:4433',
  },
  C101: {
    title: 'a value given twice (warning)',
    text: 'The same value appears twice in a list, perhaps in another spelling. It counts once.',
    example: 'AllowedIPs = 10.1.0.0/16, 10.1.2.3/16      # the same block',
  },
  C102: {
    title: 'an endpoint the other side may not listen on (warning)',
    text: 'The port of an Endpoint is not the ListenPort of the other side, or its address is not among its ListenAddress values. Behind a port forwarding that can be right.',
    example:
      '# berlin.conf: ListenPort = 4433\nEndpoint = vpn.berlin.example.net:4434      # right only if 4434 is forwarded to 4433',
  },
  C103: {
    title: 'different MTUs at the two ends (warning)',
    text: 'Packets larger than the smaller of the two are answered with packet-too-big by one side only.',
    example: 'MTU = auto      # on both sides',
  },
  C104: {
    title: 'a block with host bits (warning)',
    text: 'The address has bits behind the length of its prefix. The whole block is meant by it, which may be more than was wanted.',
    example: 'AllowedIPs = 10.1.2.3/16      # is 10.1.0.0/16; one host would be 10.1.2.3/32',
  },
  C105: {
    title: 'the tunnel would be routed into itself (warning)',
    text: 'The endpoint of a peer lies inside the networks that are routed to that peer. Its packets would enter the tunnel that they are meant to carry, and be dropped as a loop.',
    example: 'Endpoint   = 203.0.113.10:4433\nAllowedIPs = 203.0.113.0/24      # holds the endpoint',
  },
  C106: {
    title: 'a tunnel without peers (warning)',
    text: 'The configuration is right, but leads nowhere. dtunnel keygen prints the [Peer] section for the other side.',
    example: 'Include = /etc/dtunnel/peers.d/*.conf      # or a [Peer] section here',
  },
  C107: {
    title: 'a setting without effect (warning)',
    text: 'Another setting makes this one void.',
    example: 'Table       = off\nRouteMetric = 50      # no routes are made that could have it',
  },
  C108: {
    title: 'an Include that matches no file (warning)',
    text: 'The pattern is right, but no file has such a name. That is how an empty directory of peers looks, and a misspelt one.',
    example: 'Include = /etc/dtunnel/peers.d/*.conf',
  },
};
