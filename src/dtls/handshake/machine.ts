import { invariant } from '../../base/invariant.ts';
import type { Role } from '../effects.ts';
import { type Message, parseMessage } from '../messages/message.ts';
import {
  type ClientState,
  insistsOnOrder,
  isForEarlierHello,
  isForLastHello,
  isSameChallenge,
  startClient,
  stepClient,
} from './client.ts';
import type { HandshakeConfig } from './config.ts';
import { CLIENT_EXPECTS, SERVER_EXPECTS, type Transitions } from './expects.ts';
import type { WholeMessage } from './reassembly.ts';
import { type ServerState, stepServer } from './server.ts';
import { type Abort, type Advance, abort, type Retreat } from './step.ts';

/** What a step asks for; the state itself stays inside the machine. */
export type Outcome = Omit<Advance<unknown>, 'next'> | Omit<Retreat<unknown>, 'next'> | Abort;

/** The handshake of either role: holds the state, lets in what EXPECTS lists, and steps. */
export class Machine {
  readonly #config: HandshakeConfig;
  #state: { readonly role: 'client'; state: ClientState | undefined } | { readonly role: 'server'; state: ServerState };

  constructor(role: Role, config: HandshakeConfig) {
    this.#config = config;
    this.#state = role === 'client' ? { role, state: undefined } : { role, state: { at: 'expect-client-hello' } };
  }

  /** Name of the state; `idle` before a client has started. */
  get at(): ClientState['at'] | ServerState['at'] | 'idle' {
    return this.#state.state?.at ?? 'idle';
  }

  /** The messages that would be accepted now. */
  get expects(): readonly string[] {
    return Object.keys(this.#transitions);
  }

  get #transitions(): Transitions<string> {
    const machine = this.#state;
    if (machine.role === 'server') return SERVER_EXPECTS[machine.state.at];
    return machine.state === undefined ? {} : CLIENT_EXPECTS[machine.state.at];
  }

  /** A client's first step. */
  start(): Outcome {
    const step = startClient(this.#config);
    if (step.kind === 'advance') this.#state = { role: 'client', state: step.next };
    return step;
  }

  /** What the next message in order leads to. */
  step(message: WholeMessage): Outcome {
    const target = this.#transitions[message.type];
    if (target === undefined) return abort('unexpected_message', { seen: message.type, expected: this.#expected });
    const parsed = parseMessage(message.type, message.body);
    if (parsed === undefined) {
      return abort('malformed', { seen: `a ${message.type} that does not parse` });
    }
    const step = this.#stepState(parsed, message);
    invariant(step.kind !== 'advance' || this.at === target, `${message.type} leads to ${target}, not to ${this.at}`);
    return step;
  }

  get #expected(): string {
    return this.expects.join(' or ') || 'nothing';
  }

  #stepState(parsed: Message, { raw, sequence, type }: WholeMessage): Outcome {
    const machine = this.#state;
    if (machine.role === 'server') {
      const step = stepServer(machine.state, parsed, raw, sequence, this.#config);
      if (step.kind !== 'abort') machine.state = step.next;
      return step;
    }
    if (machine.state === undefined) return abort('unexpected_message', { seen: type, expected: this.#expected });
    const step = stepClient(machine.state, parsed, { raw, sequence }, this.#config);
    if (step.kind !== 'abort') machine.state = step.next;
    return step;
  }

  /** Whether only the first message of the peer's flight may come now, and none ahead of it. */
  get insistsOnOrder(): boolean {
    const { role, state } = this.#state;
    return role === 'client' && state !== undefined && insistsOnOrder(state);
  }

  /** Whether a server's message with this number answers a hello that we have replaced since. */
  isForEarlierHello(number: number): boolean {
    const { role, state } = this.#state;
    return role === 'client' && state !== undefined && isForEarlierHello(state, number);
  }

  /**
   * What a client's state makes of a challenge: `new`, one whose cookie it has answered, `late` unless the last hello stays
   * `unanswered`, or out of place.
   */
  judgeChallenge(message: WholeMessage, unanswered: boolean): 'new' | 'answered' | 'late' | 'misplaced' {
    const { role, state } = this.#state;
    const challenge = parseMessage('hello_verify_request', message.body);
    if (role !== 'client' || state?.at !== 'hello-sent' || challenge?.type !== 'hello_verify_request') {
      return 'misplaced';
    }
    if (isSameChallenge(state, challenge.cookie)) return 'answered';
    return unanswered || state.next === 1 || isForLastHello(state, message.sequence) ? 'new' : 'late';
  }
}
