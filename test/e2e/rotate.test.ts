import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { FOLDER } from '../../src/demo/link.ts';
import { lostOf, TwoWayFlow } from '../../src/demo/measure.ts';
import { farSite } from '../../src/demo/rig.ts';
import { killDaemon, type LinkedRig, logOf, statusOf, timeToPing, UNABLE, upLink } from './support.ts';

const opened: LinkedRig[] = [];
afterEach(async () => {
  for (const linked of opened.splice(0)) await linked.rig.close();
});

async function linkUp(): Promise<LinkedRig> {
  const linked = await upLink();
  opened.push(linked);
  return linked;
}

/** The line that the other side's file needs, as `dtunnel rotate` printed it. */
function lineIn(stdout: string): string {
  const found = /^Fingerprint = (.*)$/m.exec(stdout)?.[1];
  if (found === undefined) throw new Error(`no line to paste in: ${stdout}`);
  return found;
}

describe.skipIf(UNABLE !== undefined)('dtunnel rotate', () => {
  it.each(['paris', 'berlin'] as const)('of %s, under traffic all the while: nothing is lost', async (name) => {
    const { rig, link } = await linkUp();
    const here = rig[name];
    const there = farSite(rig, here);
    const old = (await statusOf(link, here)).tunnel.fingerprint;
    const flow = await TwoWayFlow.open(rig, { family: 4, rate: 500, size: 200 });
    flow.start();

    // The other side does not know it: it waits, says what to paste where, and changes nothing.
    const early = await link.dtunnel(here, ['rotate', name, '--timeout', '2s'], { failureOk: true });
    expect(early.code).toBe(8);
    expect(early.stdout).toContain(`1/3 new certificate ${name}.next.crt`);
    expect(early.stdout).toContain(`add it to: ${there.name}`);
    expect(early.stdout).toMatch(new RegExp(`2/3 waiting .* ${there.name} does not know it yet`));
    expect(early.stderr).toContain('S035');
    const line = lineIn(early.stdout);
    expect(line.startsWith(`${old}, `)).toBe(true);
    expect((await statusOf(link, here)).tunnel.fingerprint).toBe(old);

    // Run again it goes on where it was, with the same certificate.
    const again = link.dtunnel(here, ['rotate', name, '--timeout', '60s'], { timeoutMs: 90_000, failureOk: true });
    await delay(1500);
    link.configure(there, { peer: { Fingerprint: line } });
    await link.dtunnel(there, ['reload', there.name]);
    const { code, stdout } = await again;
    expect([code, stdout]).toEqual([0, expect.stringContaining(`old fingerprint may be removed from: ${there.name}`)]);
    expect(lineIn(stdout)).toBe(line);
    const fresh = line.split(', ')[1];
    expect((await statusOf(link, here)).tunnel.fingerprint).toBe(fresh);

    // The old one is taken out, and nobody misses it.
    link.configure(there, { peer: { Fingerprint: fresh } });
    await link.dtunnel(there, ['reload', there.name]);
    await delay(500);
    expect(lostOf(await flow.finish())).toBe(0);
    const [peer] = (await statusOf(link, there)).peers;
    expect([peer.state, peer.fingerprint]).toEqual(['up', fresh]);
    expect(await logOf(link, here)).toContain('cert.rotated');
    const files = await rig.enclosure.run(['sh', '-c', `cd ${FOLDER}; stat -c '%n %a' ${name}.*`]);
    expect(files.stdout.split('\n').filter((one) => !one.includes('.conf'))).toEqual([
      `${name}.crt 644`,
      `${name}.key 600`,
      `${name}.old.crt 644`,
      `${name}.old.key 600`,
      '',
    ]);
  });

  it('cut off between its two renames: the daemon starts all the same, and the next run finishes', async () => {
    const { rig, link } = await linkUp();
    const sh = (script: string) => rig.enclosure.run(['sh', '-ec', `cd ${FOLDER}; ${script}`]);
    const early = await link.dtunnel(rig.paris, ['rotate', 'paris', '--timeout', '1s'], { failureOk: true });
    link.configure(rig.berlin, { peer: { Fingerprint: lineIn(early.stdout) } });
    await link.dtunnel(rig.berlin, ['reload', 'berlin']);
    await sh('ln paris.crt paris.old.crt; ln paris.key paris.old.key; mv paris.next.key paris.key');
    await killDaemon(link, rig.paris);
    await link.dtunnel(rig.paris, ['up', 'paris', '--no-wait']);
    expect(await timeToPing(rig, rig.paris, 10_000)).toBeLessThan(5000);
    const { stdout } = await link.dtunnel(rig.paris, ['rotate', 'paris', '--json'], { timeoutMs: 60_000 });
    const fresh = lineIn(early.stdout).split(', ')[1];
    expect(JSON.parse(stdout)).toMatchObject({ schema: 'dtunnel.rotate/1', switched: true, fingerprint: fresh });
    expect((await sh('ls paris.next.* 2>/dev/null | wc -l')).stdout.trim()).toBe('0');
    expect((await link.dtunnel(rig.paris, ['fingerprint', `${FOLDER}/paris.crt`])).stdout.trim()).toBe(fresh);
  });

  it('cut off before the daemon was told: the next run tells it', async () => {
    const { rig, link } = await linkUp();
    const early = await link.dtunnel(rig.paris, ['rotate', 'paris', '--timeout', '1s'], { failureOk: true });
    const line = lineIn(early.stdout);
    link.configure(rig.berlin, { peer: { Fingerprint: line } });
    await link.dtunnel(rig.berlin, ['reload', 'berlin']);
    const script = 'for x in key crt; do ln paris.$x paris.old.$x; mv paris.next.$x paris.$x; done';
    await rig.enclosure.run(['sh', '-ec', `cd ${FOLDER}; ${script}`]);
    const { stdout } = await link.dtunnel(rig.paris, ['rotate', 'paris'], { timeoutMs: 60_000 });
    expect(stdout).toMatch(/^3\/3 switched/);
    expect((await statusOf(link, rig.berlin)).peers[0].fingerprint).toBe(line.split(', ')[1]);
  });
});
