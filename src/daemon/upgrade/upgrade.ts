import { DtunnelError, ERRORS, type ErrorCode, EXIT } from '../../base/errors.ts';
import type { HandoverResult } from '../../metrics/event-metrics.ts';
import type { UpgradeReply, UpgradeRequest } from '../../control/protocol.ts';
import { type HandoverDocument, HANDOVER_FORMAT, type SuccessorMessage, successorMessage } from './handover.ts';
import type { Successor, Successors } from './successor.ts';

/** To load the program, read the file and answer, ms. */
const PREPARE_LIMIT = 10_000;

/** To take over while packets wait, ms. */
const FROZEN_LIMIT = 2_000;

/** What the daemon does for its upgrade. */
export interface UpgradeTarget {
  readonly pid: number;
  readonly version: string;
  readonly successors: Successors;
  /** Why there can be none now; undefined: there can. */
  refusal(): string | undefined;
  /** Keeps reloads and changes of the host out while `operation` runs; throws when one is under way. */
  exclusive<T>(operation: () => Promise<T>): Promise<T>;
  /** The settings in force as text. */
  settings(): string;
  /** Of the data plane, to be passed. */
  descriptors(): readonly number[];
  peers(): number;
  /** What `freeze` would yield now, without the data plane's state. */
  rehearsal(passed: readonly number[]): HandoverDocument;
  /** Stops all that sends, receives and changes; yields all there is to know, given which descriptors were passed. */
  freeze(passed: readonly number[]): { readonly document: HandoverDocument; readonly plane: Uint8Array };
  /** Goes on as if nothing had been. */
  thaw(): void;
  /** The new process runs: whoever asks is sent there. Nothing is taken back; this process ends soon. */
  leaveTo(pid: number): Promise<void>;
  /** The new process has all it needs; this one ends once replies have left. */
  end(): void;
  /** Would the program as it is on disk accept the file? Throws. */
  checkFile(): void;
  /** Has this process stop in order and the program on disk start afresh, once the reply that tells so has left. */
  restart(): void;
  report(result: HandoverResult, detail: string, gapMs?: number): void;
}

/** Replaces the process under a running tunnel: see handover.ts for the steps. One at a time. */
export class Upgrade {
  readonly #target: UpgradeTarget;
  #running: Promise<unknown> | undefined;
  #successor: Successor | undefined;
  #stopAsked = false;
  /** Who has taken over. */
  #heir: number | undefined;

  constructor(target: UpgradeTarget) {
    this.#target = target;
  }

  /** One is under way, or done. */
  get busy(): boolean {
    return this.#running !== undefined || this.#heir !== undefined;
  }

  /** Throws S034 when one is under way. */
  refuseOthers(): void {
    if (this.busy) throw new DtunnelError('S034', 'an upgrade is under way');
  }

  /** Hands over; throws DtunnelError with everything as it was. */
  async run(request: UpgradeRequest): Promise<UpgradeReply> {
    this.refuseOthers();
    const refusal = this.#target.refusal();
    if (refusal !== undefined) throw new DtunnelError('S042', refusal);
    const running = this.#target.exclusive(() => this.#handOver());
    this.#running = running;
    try {
      return await running;
    } catch (error) {
      return this.#settle(error, request);
    } finally {
      this.#running = undefined;
      this.#successor = undefined;
    }
  }

  /**
   * This process is told to stop: ends an upgrade under way. True: too late, another has taken over and was told
   * instead.
   */
  async interrupt(): Promise<boolean> {
    this.#stopAsked = true;
    if (this.#running !== undefined) {
      this.#successor?.kill();
      await this.#running.catch(() => undefined);
    }
    if (this.#heir === undefined) return false;
    this.#target.successors.terminate(this.#heir);
    return true;
  }

  async #handOver(): Promise<UpgradeReply> {
    const target = this.#target;
    const { pid, version } = target;
    const descriptors = target.descriptors();
    const successor = target.successors.spawn(descriptors);
    this.#successor = successor;
    const { running, frozenAt, ...prepared } = await this.#bringUp(successor, descriptors);
    this.#heir = successor.pid;
    const gapMs = running.at - frozenAt;
    target.report('completed', `${pid} → ${successor.pid}`, gapMs);
    try {
      await target.leaveTo(successor.pid);
    } finally {
      // Whatever did not work: the tunnel is the other's now.
      successor.channel.send({ kind: 'released' });
      successor.release();
      target.end();
    }
    return {
      result: 'handed_over',
      tunnels: 1,
      peers: target.peers(),
      sockets: descriptors.length,
      gapMs,
      droppedPackets: running.droppedPackets,
      pid: successor.pid,
      previousPid: pid,
      version: prepared.version,
      previousVersion: version,
    };
  }

  /** Until the new process runs. Throws when that is gone and this one goes on. */
  async #bringUp(successor: Successor, descriptors: readonly number[]) {
    const target = this.#target;
    const { pid, version } = target;
    try {
      const [settings, rehearsal] = [target.settings(), target.rehearsal(descriptors)];
      successor.channel.send({ kind: 'prepare', format: HANDOVER_FORMAT, version, pid, settings, rehearsal });
      const prepared = await this.#expect(successor, 'prepared', PREPARE_LIMIT);
      return { version: prepared.version, ...(await this.#swap(successor, descriptors)) };
    } catch (error) {
      successor.kill();
      await successor.ended;
      successor.channel.close();
      throw error;
    }
  }

  /** From the freeze until the new process runs. Throws after a thaw, or `S043` when there can be none. */
  async #swap(
    successor: Successor,
    descriptors: readonly number[],
  ): Promise<{ readonly running: Running; readonly frozenAt: number }> {
    const target = this.#target;
    let mayThaw = true;
    try {
      const { document, plane } = target.freeze(descriptors);
      successor.channel.send(document, plane);
      plane.fill(0);
      await this.#expect(successor, 'ready', FROZEN_LIMIT);
      mayThaw = false;
      successor.channel.send({ kind: 'go' });
      const running = await this.#expect(successor, 'running', FROZEN_LIMIT);
      return { running, frozenAt: document.frozenAt };
    } catch (error) {
      // Gone for good before this one goes on with the same keys.
      successor.kill();
      await successor.ended;
      if (!mayThaw) throw new DtunnelError('S043', `the new process was lost: ${textOf(error)}`, { cause: error });
      target.thaw();
      throw error;
    }
  }

  async #expect<K extends SuccessorMessage['kind']>(
    successor: Successor,
    kind: K,
    limitMs: number,
  ): Promise<Extract<SuccessorMessage, { kind: K }>> {
    const message = successorMessage.safeParse(await this.#next(successor, limitMs)).data;
    if (message === undefined) throw new DtunnelError('S042', 'the new process says what this one does not know');
    if (message.kind === 'failed') {
      const { code, message: text, hint, details } = message.error;
      throw new DtunnelError(isErrorCode(code) ? code : 'S042', text, { hint, details });
    }
    if (message.kind === 'incompatible') {
      throw new DtunnelError(
        'S041',
        `the new program takes over in form ${message.format}, this one hands over in form ${HANDOVER_FORMAT}`,
      );
    }
    if (!isOf(message, kind)) throw new DtunnelError('S042', `the new process said ${message.kind} instead of ${kind}`);
    return message;
  }

  async #next(successor: Successor, limitMs: number): Promise<unknown> {
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new DtunnelError('S042', `the new process did not answer within ${limitMs / 1000} s`));
      }, limitMs);
    });
    // What it said last counts more than that it ended: the channel tells of both, in order.
    const said = successor.channel.receive().catch(async (error: unknown) => {
      throw this.#endedEarly(await Promise.race([successor.ended, limit]), error);
    });
    try {
      return (await Promise.race([said, limit])).document;
    } finally {
      clearTimeout(timer);
      said.catch(() => undefined);
    }
  }

  #endedEarly(status: number | undefined, cause: unknown): DtunnelError {
    if (this.#stopAsked) return new DtunnelError('S042', 'the tunnel is told to stop', { cause });
    // A program from before there were handovers does not know the option.
    if (status === EXIT.usage) return new DtunnelError('S041', 'the program on disk knows no handover', { cause });
    const how = status === undefined ? 'was ended' : `ended with status ${status}`;
    return new DtunnelError('S042', `the new process ${how} before it had taken over`, { cause });
  }

  /** After a handover that did not come about: told, or the clean restart instead. */
  #settle(error: unknown, { restart }: UpgradeRequest): UpgradeReply {
    const target = this.#target;
    const reason = textOf(error);
    const code = error instanceof DtunnelError ? error.code : 'S001';
    const isIncompatible = code === 'S041' || code === 'S040';
    target.report(isIncompatible ? 'incompatible' : 'failed', reason);
    const mustRestart = code === 'S043';
    if (!mustRestart && !(isIncompatible && restart && !this.#stopAsked)) throw error;
    if (!mustRestart) target.checkFile();
    if (!this.#stopAsked) target.restart();
    return {
      result: 'restarting',
      reason,
      peers: target.peers(),
      previousPid: target.pid,
      previousVersion: target.version,
    };
  }
}

type Running = Extract<SuccessorMessage, { kind: 'running' }>;

function isOf<K extends SuccessorMessage['kind']>(
  message: SuccessorMessage,
  kind: K,
): message is Extract<SuccessorMessage, { kind: K }> {
  return message.kind === kind;
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
