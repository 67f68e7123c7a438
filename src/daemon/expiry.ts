/** Days before the end at which it is told. */
const NOTICES = [30, 14, 3, 0] as const;

/** Seconds. */
const DAY = 86_400;

/** A certificate as far as its end matters; `owner`: a peer's name, undefined: it is ours. */
export interface Expiring {
  readonly owner: string | undefined;
  /** Epoch seconds. */
  readonly notAfter: number;
}

/**
 * Tells of certificates that run out, once per notice, however often a peer shows its own: dates cut nothing off, but
 * somebody should know.
 */
export class ExpiryNotices {
  #told: ReadonlyMap<string | undefined, { readonly notAfter: number; readonly notice: number }> = new Map();

  /** Of all `certificates` there are, those of which it is time to say again how many days are left. `now`: epoch seconds. */
  due(certificates: readonly Expiring[], now: number): readonly (Expiring & { readonly days: number })[] {
    const told = new Map<string | undefined, { readonly notAfter: number; readonly notice: number }>();
    const due: (Expiring & { readonly days: number })[] = [];
    for (const { owner, notAfter } of certificates) {
      const days = Math.floor((notAfter - now) / DAY);
      const notice = NOTICES.findLast((at) => days <= at);
      if (notice === undefined) continue;
      const before = this.#told.get(owner);
      told.set(owner, { notAfter, notice });
      if (before?.notAfter !== notAfter || before.notice !== notice) due.push({ owner, notAfter, days });
    }
    // Who is away for a while is not told of anew, and who is gone from the settings is forgotten by the next notice.
    for (const [owner, notice] of this.#told) if (!told.has(owner) && told.size < KEPT) told.set(owner, notice);
    this.#told = told;
    return due;
  }
}

/** Notices that are remembered of peers that are away. */
const KEPT = 20_000;
