import { collectDefaultMetrics, Registry } from 'prom-client';
import { type EventMetrics, toFamilies } from './event-metrics.ts';
import { type ExpositionFormat, type Family, writeExposition } from './exposition.ts';
import { type MetricsInput, snapshotFamilies } from './snapshot-metrics.ts';

/** What of prom-client's default set is not exposed. */
const REMOVED_DEFAULTS: ReadonlySet<string> = new Set([
  // Gauges whose names end like a counter's: `promtool check metrics` rejects them.
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
  // They need a timer that goes off a hundred times a second: a hundredth of a processor, taken from the data plane's
  // threads. The lag at the scrape (nodejs_eventloop_lag_seconds) stays.
  ...['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'].map((figure) => `nodejs_eventloop_lag_${figure}_seconds`),
]);

/** Milliseconds between two ticks of the timer of the removed figures; prom-client cannot be told to have none. */
const LAG_TIMER_MS = 86_400_000;

/** All metrics of one daemon: what is counted as it happens, what is read at scrape time, and the process itself. */
export class MetricsRegistry {
  readonly events: EventMetrics;
  readonly #input: () => MetricsInput;
  readonly #process = new Registry();

  /** `input` is asked once per scrape. */
  constructor(events: EventMetrics, input: () => MetricsInput) {
    this.events = events;
    this.#input = input;
    collectDefaultMetrics({ register: this.#process, eventLoopMonitoringPrecision: LAG_TIMER_MS });
    for (const name of REMOVED_DEFAULTS) this.#process.removeSingleMetric(name);
  }

  /** Everything now, as one document. */
  expose(format: ExpositionFormat): Promise<string> {
    return writeExposition(this.#families(), format);
  }

  async *#families(): AsyncGenerator<Family> {
    yield* snapshotFamilies(this.#input());
    yield* this.events.families();
    yield* toFamilies(this.#process);
  }
}
