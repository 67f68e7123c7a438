import { readFileSync, writeFileSync } from 'node:fs';

/** Kernel switches below /proc/sys. */
export interface Sysctl {
  /** Trimmed value of `net.ipv4.ip_forward`-like `name`; undefined when there is no such switch. */
  read(name: string): string | undefined;
  /** Sets it; false when that is not allowed here. */
  write(name: string, value: string): boolean;
}

/** The real switches. */
export const systemSysctl: Sysctl = {
  read(name) {
    try {
      return readFileSync(pathOf(name), 'utf8').trim();
    } catch {
      return undefined;
    }
  },
  write(name, value) {
    try {
      writeFileSync(pathOf(name), value);
      return true;
    } catch {
      return false;
    }
  },
};

function pathOf(name: string): string {
  return `/proc/sys/${name.replaceAll('.', '/')}`;
}
