import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { concerns, NetworkWatch } from '../../src/daemon/network-watch.ts';

describe('concerns', () => {
  it('takes a link, address or route of another device', () => {
    expect(concerns('3: eth1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 state DOWN', 'dt-paris')).toBe(true);
    expect(concerns('Deleted 2: eth0    inet 192.0.2.7/24 scope global eth0', 'dt-paris')).toBe(true);
    expect(concerns('default via 192.0.2.1 dev eth0 proto dhcp', 'dt-paris')).toBe(true);
    expect(concerns('7: veth9@if8: <UP> mtu 1500', 'dt-paris')).toBe(true);
  });

  it('ignores the tunnel itself and empty lines', () => {
    expect(concerns('9: dt-paris: <POINTOPOINT,UP> mtu 1430 qdisc fq_codel state UNKNOWN', 'dt-paris')).toBe(false);
    expect(concerns('10.2.0.0/16 dev dt-paris scope link', 'dt-paris')).toBe(false);
    expect(concerns('', 'dt-paris')).toBe(false);
  });

  it('does not take a device for ours because its name starts alike', () => {
    expect(concerns('4: dt-paris2: <UP> mtu 1500', 'dt-paris')).toBe(true);
  });
});

describe('NetworkWatch', () => {
  const watch = (script: string, onChange: () => void) =>
    new NetworkWatch({ onChange, ownDevice: 'dt-x', settleMs: 1, command: ['sh', '-c', script] });

  it('tells of a burst of kernel messages once', async () => {
    let told = 0;
    const changed = new EventTarget();
    const w = watch('echo "1: eth0: a"; echo "1: eth0: b"; echo "1: eth0: c"; exec sleep 60', () => {
      told++;
      changed.dispatchEvent(new Event('change'));
    });
    await once(changed, 'change');
    w.close();
    expect(told).toBe(1);
  });

  it('survives a monitor that cannot be run', () => {
    const w = new NetworkWatch({ onChange: () => {}, ownDevice: 'dt-x', command: ['/nonexistent-monitor'] });
    w.close();
  });
});
