import { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
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

  it.each([
    ['that runs', 'true', [['SIGTERM']]],
    ['that does not exist', '/nonexistent-monitor', []],
    ['that may not be run', '/dev/null', []],
  ])('signals a monitor %s and nobody else when it is closed', (_, program, signals) => {
    // The handle of a child that was not started holds 0, and a signal to 0 is for our whole process group: none is sent.
    const kill = vi.spyOn(ChildProcess.prototype, 'kill').mockReturnValue(true);
    const killByNumber = vi.spyOn(process, 'kill').mockReturnValue(true);
    onTestFinished(() => void vi.restoreAllMocks());
    const w = new NetworkWatch({ onChange: () => {}, ownDevice: 'dt-x', command: [program] });
    w.close();
    expect(kill.mock.calls).toEqual(signals);
    expect(killByNumber).not.toHaveBeenCalled();
  });
});
