import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ROOT } from '../../repo/source-files.ts';
import type { Figures } from './figures.ts';
import { CLOUD, type Services, type Session } from './services.ts';

const HEAT = `http://${CLOUD}:8004/v1`;
const TEMPLATES = join(ROOT, 'config/heat');

/** A stack as Heat shows it. */
export interface Stack {
  readonly status: string;
  readonly reason: string;
  readonly outputs: Readonly<Record<string, unknown>>;
}

/** An event of a stack or of one nested in it. */
export interface StackEvent {
  /** Name of the stack it belongs to, nested ones included. */
  readonly stack: string;
  readonly resource: string;
  readonly status: string;
  readonly reason: string;
}

/** Parameters of a stack. */
export type Parameters = Readonly<Record<string, unknown>>;

/** Heat as an operator with its command line would use it, with the templates that we ship. */
export class Heat {
  readonly #services: Services;
  readonly #figures: Figures;
  /** When the action under way began, by stack. */
  readonly #began = new Map<string, number>();
  #session: Session | undefined;

  constructor(services: Services, figures: Figures) {
    this.#services = services;
    this.#figures = figures;
  }

  /** Begins to create a stack from one of our templates. */
  async create(name: string, template: string, parameters: Parameters, timeoutMinutes = 10): Promise<void> {
    this.#began.set(name, performance.now());
    await this.#ask('POST', '/stacks', {
      stack_name: name,
      timeout_mins: timeoutMinutes,
      ...body(template, parameters),
    });
  }

  /** Begins to update it: the parameters given, everything else as it was. */
  async update(name: string, template: string, parameters: Parameters): Promise<void> {
    this.#began.set(name, performance.now());
    await this.#ask('PATCH', await this.#path(name), body(template, parameters));
  }

  async act(name: string, action: 'suspend' | 'resume'): Promise<void> {
    this.#began.set(name, performance.now());
    await this.#ask('POST', `${await this.#path(name)}/actions`, { [action]: null });
  }

  async delete(name: string): Promise<void> {
    this.#began.set(name, performance.now());
    await this.#ask('DELETE', await this.#path(name));
  }

  /** Posts to an address that is permission by itself, as an alarm would. */
  async signal(url: string): Promise<void> {
    const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' });
    if (!response.ok) throw new Error(`signal: ${response.status} ${await response.text()}`);
  }

  /** Posts to a resource of a stack. */
  async signalResource(name: string, resource: string): Promise<void> {
    await this.#ask('POST', `${await this.#path(name)}/resources/${resource}/signal`, {});
  }

  /** The stack now; undefined once it is gone. */
  async show(name: string): Promise<Stack | undefined> {
    for (let left = 20; left > 0; left -= 1) {
      const { status, body: answer } = await this.#request('GET', `/stacks/${name}`);
      if (status === 200) {
        const { stack } = answer as {
          stack: {
            stack_status: string;
            stack_status_reason: string;
            outputs?: { output_key: string; output_value: unknown }[];
          };
        };
        const outputs = Object.fromEntries((stack.outputs ?? []).map((o) => [o.output_key, o.output_value]));
        return { status: stack.stack_status, reason: stack.stack_status_reason, outputs };
      }
      // While a stack changes, reading it may miss a part of it; only this means that it is gone.
      if (status === 404 && JSON.stringify(answer).includes('could not be found')) return undefined;
      await delay(200);
    }
    throw new Error(`stack ${name} cannot be read`);
  }

  /** Waits for the end of an action: `CREATE_COMPLETE`, `DELETE_COMPLETE`, … Throws at its failure, with Heat's reason. */
  async wait(name: string, status: string, timeoutMs = 600_000): Promise<Stack> {
    const stack = await this.waitEnd(name, status.split('_')[0] ?? '', timeoutMs);
    if (stack.status !== status)
      throw new Error(`${name}: ${stack.status}: ${stack.reason}\n${this.#services.log('heat')}`);
    return stack;
  }

  /** Waits for the end of an action, good or bad. */
  async waitEnd(name: string, action: string, timeoutMs = 600_000): Promise<Stack> {
    const stack = await this.#end(name, action, timeoutMs);
    const seconds = (performance.now() - (this.#began.get(name) ?? performance.now())) / 1000;
    this.#figures.note(`${name} ${stack.status}, s`, seconds);
    return stack;
  }

  async #end(name: string, action: string, timeoutMs: number): Promise<Stack> {
    const end = Date.now() + timeoutMs;
    for (;;) {
      const stack = await this.show(name);
      if (stack === undefined) return { status: `${action}_COMPLETE`, reason: 'gone', outputs: {} };
      if (stack.status === `${action}_COMPLETE` || stack.status === `${action}_FAILED`) return stack;
      if (Date.now() > end) throw new Error(`${name}: still ${stack.status}\n${this.#services.log('heat')}`);
      await delay(500);
    }
  }

  /** What has happened in a stack and those nested in it, the oldest first. */
  async events(name: string): Promise<readonly StackEvent[]> {
    const answer = await this.#ask('GET', `${await this.#path(name)}/events?nested_depth=3`);
    const { events } = answer as {
      events: {
        resource_name: string;
        resource_status: string;
        resource_status_reason: string;
        event_time: string;
        links: { rel: string; href: string }[];
      }[];
    };
    // Heat lists the latest first; its times are whole seconds, so that those of one second keep their places.
    const inOrder = events.toReversed().toSorted((a, b) => a.event_time.localeCompare(b.event_time));
    return inOrder.map((e) => ({
      stack: /\/stacks\/([^/]+)\//.exec(e.links.find(({ rel }) => rel === 'stack')?.href ?? '')?.[1] ?? '',
      resource: e.resource_name,
      status: e.resource_status,
      reason: e.resource_status_reason,
    }));
  }

  async #path(name: string): Promise<string> {
    const { body: answer } = await this.#request('GET', `/stacks/${name}`);
    const { stack } = answer as { stack?: { id: string } };
    return `/stacks/${name}/${stack?.id ?? 'unknown'}`;
  }

  async #ask(method: string, path: string, content?: object): Promise<unknown> {
    const { status, body: answer } = await this.#request(method, path, content);
    if (status >= 400) throw new Error(`heat: ${method} ${path}: ${status} ${JSON.stringify(answer).slice(0, 2000)}`);
    return answer;
  }

  async #request(
    method: string,
    path: string,
    content?: object,
  ): Promise<{ readonly status: number; readonly body: unknown }> {
    this.#session ??= await this.#services.login();
    const response = await fetch(`${HEAT}/${this.#session.projectId}${path}`, {
      method,
      headers: { 'x-auth-token': this.#session.token, 'content-type': 'application/json' },
      ...(content === undefined ? {} : { body: JSON.stringify(content) }),
    });
    const text = await response.text();
    // Behind an error of its own the server answers in HTML.
    const body = text.startsWith('{') ? JSON.parse(text) : {};
    return { status: response.status, body };
  }
}

/** A template with everything it names, as the client would send it. */
function body(template: string, parameters: Parameters): object {
  const read = (name: string) => readFileSync(join(TEMPLATES, name), 'utf8');
  const files = Object.fromEntries(['scripts/lifecycle.sh', 'gateway.yaml'].map((name) => [name, read(name)]));
  return { template: read(template), files, parameters };
}
