import { MetricsHttp, type MetricsPages } from '../metrics/http.ts';
import type { Configuration } from './in-force.ts';

/** A change of listener that has been prepared: it can be finished or taken back. */
export interface PreparedListener {
  /** Ends what is no longer wanted. */
  readonly commit: () => Promise<void>;
  /** Goes back to what listened before. */
  readonly undo: () => Promise<void>;
}

/** The metrics listener through changes of the settings. */
export class MetricsService {
  readonly #pages: MetricsPages;
  readonly #onBug: (error: unknown) => void;
  #http: MetricsHttp | undefined;

  /** `onBug` is told of pages that could not be made. */
  constructor(pages: MetricsPages, onBug: (error: unknown) => void) {
    this.#pages = pages;
    this.#onBug = onBug;
  }

  /** Listens as `configuration` says; throws `DT_METRICS_BIND`. */
  async start(configuration: Configuration): Promise<void> {
    this.#http = await this.#listen(configuration);
  }

  /** Listens as `next` says; what listened for `before` elsewhere stays until `commit`. */
  async change(before: Configuration, next: Configuration): Promise<PreparedListener> {
    const old = this.#http;
    if (address(before) === address(next)) {
      const admit = (token: string | undefined): void => {
        if (old !== undefined) old.token = token;
      };
      admit(next.metricsToken);
      return { commit: async () => undefined, undo: async () => admit(before.metricsToken) };
    }
    const fresh = await this.#listen(next);
    this.#http = fresh;
    return {
      commit: async () => old?.close(),
      undo: async () => {
        this.#http = old;
        await fresh?.close();
      },
    };
  }

  /** Stops listening. */
  async close(): Promise<void> {
    await this.#http?.close();
    this.#http = undefined;
  }

  async #listen({ settings, metricsToken }: Configuration): Promise<MetricsHttp | undefined> {
    const listener = settings.interface.metrics;
    if (listener.kind === 'off') return undefined;
    return MetricsHttp.listen({ listener, token: metricsToken, pages: this.#pages, onBug: this.#onBug });
  }
}

function address({ settings }: Configuration): string {
  return JSON.stringify(settings.interface.metrics);
}
