import { collectDefaultMetrics, Registry } from 'prom-client';
import { type EventMetrics, toFamilies } from './event-metrics.ts';
import { type ExpositionFormat, writeExposition } from './exposition.ts';
import { type MetricsInput, snapshotFamilies } from './snapshot-metrics.ts';

/** Gauges of prom-client's default set whose names end like a counter's: `promtool check metrics` rejects them. */
const MISNAMED_DEFAULTS: ReadonlySet<string> = new Set([
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
]);

/** All metrics of one daemon: what is counted as it happens, what is read at scrape time, and the process itself. */
export class MetricsRegistry {
  readonly events: EventMetrics;
  readonly #input: () => MetricsInput;
  readonly #process = new Registry();

  /** `input` is asked once per scrape. */
  constructor(events: EventMetrics, input: () => MetricsInput) {
    this.events = events;
    this.#input = input;
    collectDefaultMetrics({ register: this.#process });
    for (const name of MISNAMED_DEFAULTS) this.#process.removeSingleMetric(name);
  }

  /** Everything now, as one document. */
  async expose(format: ExpositionFormat): Promise<string> {
    const families = [
      ...snapshotFamilies(this.#input()),
      ...(await this.events.families()),
      ...(await toFamilies(this.#process)),
    ];
    return writeExposition(families, format);
  }
}
