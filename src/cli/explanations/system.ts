import type { ErrorCode } from '../../base/errors.ts';
import type { Explanation } from './explanation.ts';

/** Codes of class S: this host, this program, and the daemon. */
export const SYSTEM_EXPLANATIONS: Readonly<Partial<Record<Extract<ErrorCode, `S${string}`>, Explanation>>> = {
  S001: {
    title: 'an unexpected failure',
    text: 'dtunnel met a case that it was not written for. That is a mistake in dtunnel. systemd restarts the daemon; routes stay closed meanwhile.',
    example: '$ dtunnel version      # please report it with this and the lines around the error',
  },
  S010: {
    title: 'no permission to make the tunnel device',
    text: 'A network device takes CAP_NET_ADMIN. The systemd unit has it; a shell has it as root.',
    example: '$ sudo dtunnel up paris',
  },
  S011: {
    title: 'there are no tunnel devices here',
    text: '/dev/net/tun is missing: the tun module is not loaded, or a container was started without the device.',
    example: '$ modprobe tun\n$ podman run --device /dev/net/tun --cap-add NET_ADMIN ...',
  },
  S012: {
    title: 'the device belongs to another process',
    text: 'A device of that name exists and somebody holds it, most often the same tunnel, started twice.',
    example: '$ dtunnel status\n$ ip link show dt-paris',
  },
  S013: {
    title: 'iproute2 is missing',
    text: 'Addresses, routes and rules are set through the ip command, so that every change can be shown and undone.',
    example: '$ apt-get install iproute2',
  },
  S014: {
    title: 'the host could not be set up',
    text: 'The ip command refused one of the changes. All changes are made together or not at all: those before it were undone. The message holds what ip said.',
    example: '$ ip route show 10.1.0.0/16      # is the network routed elsewhere already?',
  },
  S015: {
    title: 'the tunnel runs already',
    text: 'A daemon answers on the control socket of this tunnel.',
    example: '$ dtunnel reload paris      # applies a changed configuration without losing a packet',
  },
  S016: {
    title: 'the tunnel does not run',
    text: 'No daemon answers on the control socket of this tunnel.',
    example: '$ sudo dtunnel up paris\n$ journalctl -u dtunnel@paris -n 50',
  },
  S017: {
    title: 'there is no such tunnel',
    text: 'No running tunnel has that name.',
    example: '$ dtunnel status      # lists what runs',
  },
  S018: {
    title: 'there is no such peer',
    text: 'The tunnel runs, but has no peer of that name. Names are those of the configuration; a peer without one has the first eight digits of its fingerprint.',
    example: '$ dtunnel status paris      # lists its peers',
  },
  S019: {
    title: 'daemon and command are too far apart',
    text: 'The running daemon is of a version that speaks another control protocol than this command. It was updated on disk, but not restarted or handed over.',
    example: '$ sudo dtunnel down paris && sudo dtunnel up paris',
  },
  S020: {
    title: 'the native part is missing',
    text: 'The data plane is a compiled addon. It was not built, or for another machine. Releases have it inside; a checkout and a package installed by npm need a C++ compiler once. The DTLS engine, dtunnel/dtls, does without.',
    example:
      '$ npm run build    # a checkout\n$ cd "$(npm root)/dtunnel" && npx node-gyp rebuild --directory native    # installed by npm',
  },
  S021: {
    title: 'wrong usage',
    text: 'The command line has a mistake: an unknown command or option, or a missing argument.',
    example: '$ dtunnel --help\n$ dtunnel COMMAND --help',
  },
  S022: {
    title: 'it took too long',
    text: 'What was waited for did not happen within --timeout. It may still happen: the daemon goes on.',
    example: '$ dtunnel status paris',
  },
  S023: {
    title: 'a file cannot be used',
    text: 'A file or directory could not be read, made or written. The message names it, with what the system said.',
    example: '$ dtunnel keygen paris --dir ~/keys      # where writing is allowed',
  },
  S024: {
    title: 'no permission to talk to the daemon',
    text: 'The control socket belongs to root and the group dtunnel.',
    example: '$ sudo dtunnel status\n$ adduser alice dtunnel      # then log in again',
  },
  S025: {
    title: 'a step failed',
    text: 'One of the programs or steps of a longer command failed. What it said stands above the error, and what had been made before it was undone.',
    example: '$ dtunnel demo -v      # shows every step',
  },
  S026: {
    title: 'network namespaces cannot be made',
    text: 'The demonstration runs in network namespaces, as root or inside a user namespace. This host allows neither: it is a container without the permission, or user namespaces are switched off.',
    example: '$ sudo dtunnel demo',
  },
  S030: {
    title: 'the daemon refused the new configuration',
    text: 'A reload checks the whole configuration first. It holds mistakes, so nothing was changed and the old one stays in force.',
    example: '$ dtunnel check paris      # shows each mistake with its place',
  },
  S031: {
    title: 'some changes need a restart',
    text: 'The new configuration changes a key that cannot change while the tunnel runs: Name, Lanes, Crypto, DisableOffloads or Realtime. Nothing was changed.',
    example: '$ dtunnel reload paris --plan      # shows which\n$ sudo dtunnel down paris && sudo dtunnel up paris',
  },
  S032: {
    title: 'there is nothing to take back',
    text: 'The daemon keeps the configuration from before the last reload. There was no reload since it started, or it was taken back already.',
    example: '$ dtunnel reload paris --plan',
  },
  S033: {
    title: 'a reload failed and was undone',
    text: 'The new configuration is right in itself, but the host refused a part of it: an address, a route, a port. Everything is as it was before.',
    example: '$ dtunnel logs paris      # what the host said',
  },
  S035: {
    title: 'peers do not know the new certificate yet',
    text: 'A rotation switches only when every peer would accept the new certificate; until then the old one stays in force and nothing is cut off. The new files stay beside the old ones, so that the next run asks again. A peer that cannot be asked (plain DTLS) is taken to know it with --assume PEER.',
    example:
      '# at the peer, in the [Peer] section of this site:\nFingerprint = OLD, NEW\n\n$ dtunnel rotate paris      # goes on where it was',
  },
  S036: {
    title: 'the files of a rotation cannot be handled',
    text: 'Rotation makes NAME.next.crt and NAME.next.key beside the files that the configuration names, and renames them at the end. That takes write permission there, and files: credentials are rotated by whoever gives them to the service.',
    example: '$ sudo dtunnel rotate paris',
  },
  S034: {
    title: 'another command is under way',
    text: 'Reload, drain and upgrade change the daemon one at a time.',
    example: '$ dtunnel status paris',
  },
  S040: {
    title: 'the running tunnel could not be handed over',
    text: 'An upgrade hands the TUN device, the sockets and all sessions of the running process to one of the installed version. The two versions do not share a format for that, or what arrived was damaged. Nothing was taken over: the tunnel runs on, in its old version.',
    example: '$ sudo dtunnel down paris && sudo dtunnel up paris      # a clean restart, a moment without traffic',
  },
  S041: {
    title: 'the new program cannot take over from the running one',
    text: 'An upgrade hands live sessions from the old process to the new one, and both must know the same form of that. These two do not, so the new program can only be started afresh: peers shake hands again, and what is sent meanwhile is lost. With --no-restart this is left to you.',
    example:
      '$ sudo dtunnel upgrade paris      # falls back to a clean restart by itself\n$ sudo dtunnel drain paris && sudo dtunnel up paris',
  },
  S042: {
    title: 'an upgrade failed and was undone',
    text: 'The new process could not take over: it ended, said why it could not, or took too long. It was ended, and the old one goes on with every session. No packet was lost.',
    example: '$ dtunnel check paris      # would the new program accept the file?\n$ dtunnel logs paris',
  },
  S043: {
    title: 'the new process was lost while it took over',
    text: 'It fell silent after it had been given the sessions. The old process must not use their keys again, since the new one may have done so: the tunnel was started afresh.',
    example: '$ dtunnel status paris',
  },
};
