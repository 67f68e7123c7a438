import type { Scenario } from './scenario.ts';
import { CRASH } from './scenarios/crash.ts';
import { FAILOVER } from './scenarios/failover.ts';
import { FREEZE_LONG, FREEZE_SHORT, FREEZE_VERY_LONG } from './scenarios/freeze.ts';
import { DRAIN, PRIORITY } from './scenarios/gateways.ts';
import { CLOUD_MTUS, PATH_MTU } from './scenarios/path-mtu.ts';
import { REKEY } from './scenarios/rekey.ts';
import { RELOAD } from './scenarios/reload.ts';
import { ROAM } from './scenarios/roam.ts';
import { UPGRADE } from './scenarios/upgrade.ts';
import { FAMILIES, NAMES, UPLINK } from './scenarios/uplink.ts';

/** All of them, in the order of the table. */
export const SCENARIOS: readonly Scenario[] = [
  REKEY,
  RELOAD,
  UPGRADE,
  ROAM,
  UPLINK,
  FAILOVER,
  PRIORITY,
  DRAIN,
  FAMILIES,
  NAMES,
  CRASH,
  FREEZE_SHORT,
  FREEZE_LONG,
  FREEZE_VERY_LONG,
  PATH_MTU,
  CLOUD_MTUS,
];
