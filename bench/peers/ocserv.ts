import { mkdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Rig, Site } from '../../src/demo/rig.ts';
import { versionOf } from '../machine.ts';
import { deviceUp, ip, lacks, type Peer, selfSigned, startDaemon, workFolder, writeFile } from './support.ts';

/** ocserv at paris, openconnect at berlin: the other DTLS tunnel. */
export const OCSERV: Peer = {
  name: 'ocserv',
  role: 'field',
  about: 'ocserv + openconnect, DTLS 1.2 PSK AES-128-GCM, no compression, no worker isolation, queue 256',
  missing: () => lacks('ocserv', 'openconnect', 'ocpasswd', 'openssl'),
  version: () => versionOf(['ocserv', '--version']),
  async start(rig) {
    const { enclosure, berlin, paris } = rig;
    const folder = workFolder(rig);
    await selfSigned(rig, paris);
    mkdirSync(enclosure.path(`${folder}/user`), { mode: 0o755 });
    writeFile(rig, 'user/site', `explicit-ipv4 = ${OCSERV_CLIENT}`);
    await enclosure.run(['ocpasswd', '-c', `${folder}/passwd`, 'site'], { input: 'bench\nbench\n' });
    const server = startDaemon(rig, paris, [
      'ocserv',
      '-f',
      '-c',
      writeFile(rig, 'ocserv.conf', ocservConfig(folder, paris)),
    ]);
    const script = writeFile(
      rig,
      'script',
      [
        '#!/bin/sh',
        '[ "$reason" = connect ] || exit 0',
        `ip addr add $INTERNAL_IP4_ADDRESS peer ${OCSERV_GATEWAY} dev $TUNDEV`,
        'ip link set $TUNDEV mtu $INTERNAL_IP4_MTU txqueuelen 1000 up',
        `ip route add ${paris.lan4} dev $TUNDEV`,
      ].join('\n'),
      0o755,
    );
    await delay(800); // It listens some time after it started, and says so nowhere.
    const pin = await publicKeyPin(rig, paris);
    const options = [
      `openconnect --protocol=anyconnect --user=site --passwd-on-stdin --servercert ${pin} --interface oc0`,
      `--script ${script} --base-mtu 1500 --mtu 1434 --queue-len 256 --non-inter https://${paris.public4}:443/`,
    ];
    const client = startDaemon(rig, berlin, ['sh', '-c', `echo bench | exec ${options.join(' ')}`]);
    await deviceUp(rig, berlin, 'oc0', 15_000);
    await deviceUp(rig, paris, 'ocs0');
    await ip(rig, paris, 'link set ocs0 txqueuelen 1000');
    await ip(rig, paris, `route add ${berlin.lan4} dev ocs0`);
    return { daemons: [client, server], inner: { berlin: OCSERV_CLIENT, paris: OCSERV_GATEWAY } };
  },
};

const OCSERV_GATEWAY = '172.31.9.1';
const OCSERV_CLIENT = '172.31.9.10';

function ocservConfig(folder: string, paris: Site): string {
  const priorities = 'NORMAL:%SERVER_PRECEDENCE:-VERS-ALL:+VERS-TLS1.2:+VERS-DTLS1.2:-CIPHER-ALL:+AES-128-GCM';
  return [
    `auth = "plain[passwd=${folder}/passwd]"`,
    `listen-host = ${paris.public4}`,
    'tcp-port = 443',
    'udp-port = 443',
    'run-as-user = root',
    'run-as-group = root',
    `socket-file = ${folder}/oc.sock`,
    `pid-file = ${folder}/oc.pid`,
    'isolate-workers = false',
    `server-cert = ${folder}/paris.crt`,
    `server-key = ${folder}/paris.key`,
    'max-clients = 4',
    'max-same-clients = 2',
    'rate-limit-ms = 0',
    'keepalive = 300',
    'dpd = 60',
    'try-mtu-discovery = false',
    'compression = false',
    `tls-priorities = "${priorities}"`,
    'auth-timeout = 240',
    'cookie-timeout = 300',
    'rekey-time = 172800',
    'use-occtl = false',
    'device = ocs',
    'predictable-ips = true',
    'ipv4-network = 172.31.9.0',
    'ipv4-netmask = 255.255.255.0',
    `config-per-user = ${folder}/user/`,
    'ping-leases = false',
    'mtu = 1434',
    'output-buffer = 100',
    'cisco-client-compat = false',
    'dtls-psk = true',
    'dtls-legacy = true',
    '',
  ].join('\n');
}

async function publicKeyPin(rig: Rig, here: Site): Promise<string> {
  const command = `openssl x509 -in ${workFolder(rig)}/${here.name}.crt -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | openssl base64`;
  return `pin-sha256:${(await rig.enclosure.run(['sh', '-c', command])).stdout.trim()}`;
}
