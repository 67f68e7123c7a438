import { readFileSync } from 'node:fs';

/** Users and groups of this host as passwd(5) and group(5) list them; Node has no getpwnam(3). */

/** The user that the service runs as. */
export const SERVICE_USER = 'dtunnel';

/** A user with its first group. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** The service's user; undefined where it was not made. */
export function serviceAccount(): Account | undefined {
  const entry = entries('/etc/passwd').find((fields) => fields[0] === SERVICE_USER);
  const uid = Number(entry?.[2]);
  const gid = Number(entry?.[3]);
  return Number.isInteger(uid) && Number.isInteger(gid) ? { uid, gid } : undefined;
}

/** `user:group` for people; numbers where there are no names. */
export function ownerText({ uid, gid }: Account): string {
  const name = (file: string, id: number): string =>
    entries(file).find((fields) => fields[2] === `${id}`)?.[0] ?? `${id}`;
  return `${name('/etc/passwd', uid)}:${name('/etc/group', gid)}`;
}

function entries(file: string): readonly (readonly string[])[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    // A container without users has no names to show.
    return [];
  }
  return text.split('\n').map((line) => line.split(':'));
}
