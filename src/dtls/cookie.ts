import { type Instant, later } from '../base/brand.ts';
import { equalSecret, hmac } from '../crypto/hash.ts';
import { Writer } from '../wire/writer.ts';
import { COOKIE_SECRET_LIFETIME } from './limits.ts';
import type { ClientHello } from './messages/client-hello.ts';
import type { CryptoSource } from './options.ts';

/** What a cookie in a hello proves. `stale`: it was ours, but its secret is gone; `invalid`: it never was, or not for this. */
export type CookieVerdict = 'valid' | 'absent' | 'stale' | 'invalid';

/**
 * Cookies that prove a client's address without memory (RFC 6347 §4.2.1): a MAC over the address and the hello under a
 * secret that changes. The secret before the current one is still accepted, so that no hello fails for crossing a change.
 *
 * | octets | field |
 * | --- | --- |
 * | 1 | generation of the secret, modulo 256 |
 * | 20 | HMAC-SHA-256, truncated (RFC 2104 §5) |
 *
 * The MAC covers version, random, session id, suites and compression methods. Extensions are left out: a hello that
 * changes them is answered by what it says the second time. So is the message number, but for 0, which only a hello
 * without cookie has: whoever follows a late challenge is back with the true one after one more, whatever its number is by then.
 */
export class CookieJar {
  readonly #crypto: CryptoSource;
  #current: Secret;
  #previous: Secret | undefined;

  constructor(crypto: CryptoSource) {
    this.#crypto = crypto;
    this.#current = this.#fresh(crypto.random(1)[0] ?? 0);
  }

  /** A cookie for this client's hello. */
  make(client: Uint8Array, hello: ClientHello, now: Instant): Uint8Array {
    this.#rotate(now);
    return cookieUnder(this.#current, client, hello);
  }

  /** Whether the cookie of the hello with this message number was made for this client and this hello, not long ago. */
  judge(client: Uint8Array, hello: ClientHello, sequence: number, now: Instant): CookieVerdict {
    const { cookie } = hello;
    if (cookie.length === 0) return 'absent';
    if (cookie.length !== COOKIE_LENGTH || sequence === 0) return 'invalid';
    this.#rotate(now);
    for (const secret of [this.#current, this.#previous]) {
      if (secret === undefined || secret.generation !== cookie[0]) continue;
      return equalSecret(cookieUnder(secret, client, hello), cookie) ? 'valid' : 'invalid';
    }
    return 'stale';
  }

  /** Secrets age by the clock that comes with each hello: the first one begins the lifetime. */
  #rotate(now: Instant): void {
    const { expiresAt } = this.#current;
    if (expiresAt === undefined) {
      this.#current.expiresAt = later(now, COOKIE_SECRET_LIFETIME);
    } else if (now >= expiresAt) {
      this.#previous?.key.fill(0);
      // After a long silence the secret that was current is too old to be even the previous one.
      this.#previous = now < later(expiresAt, COOKIE_SECRET_LIFETIME) ? this.#current : undefined;
      this.#current = this.#fresh((this.#current.generation + 1) % 256);
      this.#current.expiresAt = later(now, COOKIE_SECRET_LIFETIME);
    }
  }

  #fresh(generation: number): Secret {
    return { generation, key: this.#crypto.random(32), expiresAt: undefined };
  }
}

interface Secret {
  readonly generation: number;
  readonly key: Uint8Array;
  expiresAt: Instant | undefined;
}

const MAC_LENGTH = 20;
const COOKIE_LENGTH = 1 + MAC_LENGTH;

function cookieUnder(secret: Secret, client: Uint8Array, hello: ClientHello): Uint8Array {
  const covered = new Writer(256)
    .vector(1, client)
    .uint(hello.version, 2)
    .bytes(hello.random)
    .vector(1, hello.sessionId)
    .vector(2, (w) => {
      for (const suite of hello.suites) w.uint(suite, 2);
    })
    .vector(1, hello.compressions)
    .take();
  const mac = hmac('sha256', secret.key, [covered]);
  const cookie = new Uint8Array(COOKIE_LENGTH);
  cookie[0] = secret.generation;
  cookie.set(mac.subarray(0, MAC_LENGTH), 1);
  return cookie;
}
