import { Connection } from '../dtls/connection.ts';
import { ContinuedConnection } from '../dtls/continuation.ts';
import { Listener } from '../dtls/listener.ts';
import { endpointKey } from '../net/endpoint.ts';
import type { Engines } from './context.ts';

/** The DTLS engine of this program. */
export const systemEngines: Engines = {
  client: (options) => new Connection(options),
  server: (options, hello) => new Connection(options, hello),
  continued: (continuation) => new ContinuedConnection(continuation),
  listener: (crypto) => {
    const listener = new Listener({ crypto });
    const text = new TextEncoder();
    return {
      // A cookie is good for one address and port (RFC 6347 §4.2.1).
      receive: (datagram, path, now) => listener.receive(text.encode(endpointKey(path.remote)), datagram, now),
    };
  },
};
