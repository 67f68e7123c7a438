import type { ErrorCode } from '../../base/errors.ts';
import type { Explanation } from './explanation.ts';

/** Codes of classes N and H: sockets, names, and what the other side said. */
export const NETWORK_EXPLANATIONS: Readonly<Record<Extract<ErrorCode, `N${string}` | `H${string}`>, Explanation>> = {
  N001: {
    title: 'the UDP port is taken',
    text: 'Another program has bound ListenPort on one of our addresses. The message names it where the kernel tells.',
    example: '$ ss -ulnp sport = :4433',
  },
  N002: {
    title: 'the UDP socket cannot be bound',
    text: 'An address in ListenAddress is not one of this host, or a port below 1024 was asked for without permission.',
    example: '$ ip -brief address      # the addresses that ListenAddress may name',
  },
  N003: {
    title: 'the metrics listener cannot be bound',
    text: 'The port is taken, often by another tunnel on this host: each tunnel has a listener of its own.',
    example:
      '# paris.conf                       # lyon.conf\nMetrics = 127.0.0.1:9469           Metrics = 127.0.0.1:9470',
  },
  N004: {
    title: 'nothing answered',
    text: 'Datagrams went out and none came back in time. The address or the port is wrong, nothing listens there, or a firewall on the way drops UDP. A dtunnel that does not know us still answers a first packet, unless it has Unknown = drop.',
    example: '$ dtunnel probe vpn.berlin.example.net:4433',
  },
  N005: {
    title: 'a host name cannot be resolved',
    text: 'The resolver of this host has no address for the name, or did not answer. A running tunnel keeps trying; only commands that need the answer at once end with this.',
    example: '$ getent ahosts vpn.berlin.example.net',
  },
  N006: {
    title: 'datagrams cannot be marked',
    text: 'FwMark, or a default route through the tunnel, needs a mark on our own datagrams, so that routing rules can tell them from those of the tunnel. The kernel refused to set it: marking takes CAP_NET_ADMIN.',
    example: '[Interface]\nFwMark = 0x1151      # ip rule add fwmark 0x1151 lookup 100',
  },
  H001: {
    title: 'one side refused the other',
    text: 'The handshake reached the other side and was refused: it does not know our certificate, or its certificate is not the one that is pinned here. The message holds both fingerprints where they are known.',
    example:
      '$ dtunnel fingerprint /etc/dtunnel/paris.crt          # what berlin must have for paris\n$ dtunnel fingerprint vpn.berlin.example.net:4433     # what paris must have for berlin',
  },
};
