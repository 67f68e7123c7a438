import { farSite, type Rig } from '../src/demo/rig.ts';

/**
 * What the outer link does with large packets; a tunnel that batches gains or loses by it.
 * `pass`: veth as created, segmentation offload passes through whole. `nic`: software segmentation before the link and
 * receive coalescing after it, what a plain network card gives. `off`: one packet at a time, both ways.
 */
export const OUTER_PATHS = ['pass', 'nic', 'off'] as const;

/** One of the outer paths. */
export type OuterPath = (typeof OUTER_PATHS)[number];

/** Sets both ends of the outer link; yields what ethtool(8) says afterwards, for the raw results. */
export async function setOuterPath(rig: Rig, path: OuterPath): Promise<Readonly<Record<string, string>>> {
  for (const here of [rig.berlin, rig.paris]) {
    const change = CHANGES[path];
    if (change.length > 0) await rig.enclosure.run(['ethtool', '-K', here.wan, ...change], { netns: here.gateway });
  }
  const here = farSite(rig, rig.berlin);
  const { stdout, code } = await rig.enclosure.run(['ethtool', '-k', here.wan], {
    netns: here.gateway,
    failureOk: true,
  });
  if (code !== 0) return {};
  const lines = stdout.matchAll(/^\s*([\w-]+): (on|off)/gm);
  return Object.fromEntries(
    [...lines].flatMap(([, name, state]) => (INTERESTING.has(name ?? '') ? [[name, state]] : [])),
  );
}

const CHANGES: Readonly<Record<OuterPath, readonly string[]>> = {
  pass: [],
  nic: ['tso', 'off', 'gso', 'on', 'gro', 'on', 'tx-udp-segmentation', 'off'],
  off: ['tso', 'off', 'gso', 'off', 'gro', 'off', 'tx-udp-segmentation', 'off'],
};

const INTERESTING = new Set([
  'tx-checksumming',
  'tcp-segmentation-offload',
  'generic-segmentation-offload',
  'generic-receive-offload',
  'tx-udp-segmentation',
]);
