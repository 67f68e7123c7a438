import { z } from 'zod';

/**
 * The status document: what `dtunnel status --json` prints and what the text is made from. A public contract
 * (config/schema/status-1.json is generated from this file): additive only. What is not known is absent, never a
 * placeholder. Times are ISO 8601 in UTC; lengths of time are seconds; sizes are octets; ratios are 0 … 1.
 */

/** Name and version of the document. */
export const STATUS_SCHEMA = 'dtunnel.status/1';

const time = z.iso.datetime();
const count = z.int().min(0);
const port = z.int().min(0).max(65535);

const endpoint = z
  .object({
    address: z.string(),
    port,
    index: count.optional().describe('place among the configured endpoints; absent: the peer called us'),
    host: z.string().optional().describe('the configured name the address was looked up from'),
  })
  .describe('where the datagrams of the current association go');

const configuredEndpoint = z.object({
  host: z.string(),
  port,
  addresses: z.array(z.string()).describe('what the host is known to resolve to now'),
  active: z.boolean(),
});

const handshake = z
  .object({
    at: time,
    durationSeconds: z.number(),
    cipher: z.string().describe('OpenSSL name of the suite'),
    group: z.string(),
    role: z.enum(['client', 'server']),
    protocol: z.string().optional().describe('agreed application protocol; absent: a plain DTLS peer'),
    connectionIds: z.boolean(),
  })
  .describe('of the current association');

const rekey = z.object({
  inSeconds: z.number().optional().describe('absent: by volume only'),
  afterBytes: count.describe('plaintext left until a rekey by volume'),
  keyUsageRatio: z.number().describe('share of the AEAD limit that the busier direction has used'),
});

const path = z.object({
  mtuBytes: count.describe('largest IP packet outside'),
  innerMtuBytes: count.describe('largest IP packet inside'),
  rttSeconds: z.number().optional(),
  rttP99Seconds: z.number().optional().describe('of the recent probes'),
  jitterSeconds: z.number().optional(),
  lossRatio: z.number().describe('share of the recent probes that went unanswered'),
  reorderedPackets: count,
});

const transfer = z
  .object({ receiveBytes: count, transmitBytes: count, receivePackets: count, transmitPackets: count })
  .describe('inner IP packets since the daemon started');

const peer = z.object({
  name: z.string(),
  state: z.enum(['disabled', 'resolving', 'connecting', 'up', 'degraded', 'down']),
  since: time,
  up: z.boolean().describe('an authenticated record came within DeadAfter'),
  fingerprint: z.string().describe('SHA-256 of the certificate, colon hex'),
  fingerprints: z.array(z.string()).describe('all that are accepted'),
  allowedIps: z.array(z.string()),
  priority: z.int(),
  endpoint: endpoint.optional(),
  endpoints: z.array(configuredEndpoint),
  handshake: handshake.optional(),
  rekey: rekey.optional(),
  path: path.optional(),
  certificate: z.object({ notAfter: time }).optional(),
  lastReceive: time.optional(),
  lastFailure: z
    .object({
      at: time,
      reason: z.string(),
      by: z.enum(['local', 'peer']),
      seen: z.string().optional(),
      expected: z.string().optional(),
    })
    .optional()
    .describe('latest failed handshake since the last success'),
  nextAttemptInSeconds: z.number().optional(),
  transfer,
  drops: z.record(z.string(), count).describe('packets by reason, both directions'),
});

const health = z.object({
  code: z.string().describe('stable id'),
  peer: z.string().optional(),
  text: z.string(),
});

/** Schema of the document. */
export const statusDocument = z.object({
  schema: z.literal(STATUS_SCHEMA),
  time,
  tunnel: z.object({
    name: z.string(),
    state: z.enum(['up', 'degraded', 'down']).describe('up: every enabled peer is; degraded: some are'),
    since: time.describe('since when it is in this state'),
    startedAt: time,
    configHash: z.string().describe('SHA-256 of the settings in force, hex'),
    configFile: z.string(),
    generation: z.int().describe('1 at start, one more with every reload'),
    reloadedAt: time.optional(),
    draining: z.boolean(),
    device: z.string(),
    deviceMtuBytes: count,
    addresses: z.array(z.string()),
    listening: z.array(z.object({ address: z.string(), port })),
    fingerprint: z.string().describe('our own, colon hex'),
    certificate: z.object({ notAfter: time }),
    pid: z.int(),
    version: z.string(),
    dataPlane: z.object({
      aead: z.string(),
      offloads: z.array(z.string()),
      cpuSeconds: z.number().describe('CPU time its threads have used'),
    }),
  }),
  peers: z.array(peer),
  health: z.array(health).describe('what an operator should look at; empty: nothing'),
});

/** The status of one tunnel. */
export type StatusDocument = z.infer<typeof statusDocument>;

/** A peer in it. */
export type PeerStatus = StatusDocument['peers'][number];

/** A remark in it. */
export type HealthNote = StatusDocument['health'][number];

/** The contract as JSON Schema: the text of config/schema/status-1.json. */
export function statusJsonSchema(): string {
  const schema = z.toJSONSchema(statusDocument, {
    target: 'draft-2020-12',
    io: 'output',
    override: ({ jsonSchema }) => {
      // Readers must accept what later releases add, and `format` says what the calendar pattern spells out.
      if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
      if (jsonSchema.format === 'date-time') delete jsonSchema.pattern;
    },
  });
  return `${JSON.stringify({ ...schema, $id: 'dtunnel/status-1.json', title: 'dtunnel status' }, undefined, 2)}\n`;
}
