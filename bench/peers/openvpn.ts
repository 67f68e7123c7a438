import { farSite } from '../../src/demo/rig.ts';
import { versionOf } from '../machine.ts';
import { bare, lacks, type Peer, selfSigned, startDaemon, words, workFolder } from './support.ts';

/** OpenVPN, point to point over UDP with TLS, AES-128-GCM, without a kernel data channel. */
export const OPENVPN: Peer = {
  name: 'openvpn',
  role: 'field',
  about: 'p2p TLS over UDP, AES-128-GCM, --fast-io, 4 MiB socket buffers, txqueuelen 1000, no DCO',
  missing: () => lacks('openvpn', 'openssl'),
  version: () => versionOf(['openvpn', '--version']),
  async start(rig) {
    const folder = workFolder(rig);
    const prints = new Map<string, string>();
    for (const here of [rig.berlin, rig.paris]) prints.set(here.name, await selfSigned(rig, here));
    const daemons = [rig.paris, rig.berlin].map((here) => {
      const there = farSite(rig, here);
      const options = [
        'openvpn --dev tun0 --dev-type tun --proto udp --port 1194 --disable-dco --verb 1 --ping 10 --fast-io',
        `--local ${here.public4} --remote ${there.public4}`,
        here.name === 'paris' ? '--tls-server --dh none' : '--tls-client',
        `--cert ${folder}/${here.name}.crt --key ${folder}/${here.name}.key`,
        `--peer-fingerprint ${prints.get(there.name)} --data-ciphers AES-128-GCM --cipher AES-128-GCM`,
        `--ifconfig ${bare(here.inner4)} ${bare(there.inner4)} --route ${there.lan4.replace('/16', ' 255.255.0.0')}`,
        '--sndbuf 4194304 --rcvbuf 4194304 --txqueuelen 1000 --allow-compression no',
      ];
      return startDaemon(rig, here, words(options.join(' ')));
    });
    return { daemons: daemons.reverse(), inner: { berlin: bare(rig.berlin.inner4), paris: bare(rig.paris.inner4) } };
  },
};
