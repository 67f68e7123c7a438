import { type Instant, ms, type PathMtu, type PeerId } from '../base/brand.ts';
import { invariant } from '../base/invariant.ts';
import { Association, type AssociationOwner } from './association.ts';
import type { Context } from './context.ts';
import type { SessionState } from './handover.ts';
import type { PathMemory } from './path-memory.ts';
import { Session, type SessionOwner } from './session.ts';

/** What a session goes on from that another process had. */
interface ContinuedParts {
  readonly owner: AssociationOwner & SessionOwner & { readonly id: PeerId };
  readonly memory: PathMemory;
  readonly continued: SessionState;
}

/** A session as another process knew it, with its association, whose keys the data plane has. */
export function continueSession(context: Context, { owner, memory, continued }: ContinuedParts, now: Instant): Session {
  const { slot, connectionId, role, path, trigger } = continued.association;
  const association = new Association(
    context,
    {
      owner,
      lease: { slot, connectionId },
      role,
      path,
      trigger,
      peer: owner.id,
      // There is no handshake left that would ask.
      authorize: () => undefined,
      expected: '',
      handshakeTimeout: ms(0),
      initialTimeout: ms(0),
      pathMtu: memory.pathMtu.mtu as PathMtu,
      continued: continued.association,
    },
    now,
  );
  const established = association.session;
  invariant(established !== undefined, 'a continued association is established');
  return new Session(context, { owner, association, established, memory, continued }, now);
}
