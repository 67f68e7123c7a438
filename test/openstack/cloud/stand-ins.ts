import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import { CLOUD } from './services.ts';

/** A server as Nova would keep it. */
export interface ServerRecord {
  readonly id: string;
  readonly name: string;
  /** Decoded user-data, as the metadata service would hand it to cloud-init. */
  readonly userData: string;
  /** Fixed address of its port. */
  readonly address: string;
  /** Server group that it was asked to join. */
  readonly group: unknown;
  status: 'BUILD' | 'ACTIVE' | 'SUSPENDED' | 'DELETED';
}

/** What happens to servers, for who plays the hypervisor. Each ends when the change is done. */
export interface Hypervisor {
  boot(server: ServerRecord): Promise<void>;
  destroy(server: ServerRecord): Promise<void>;
}

interface Reply {
  readonly status: number;
  readonly body?: object;
}

type Row = Record<string, unknown> & { readonly id: string };

const UNKNOWN: Reply = { status: 404, body: { itemNotFound: { code: 404, message: 'not found' } } };

/**
 * Nova, Neutron and Glance as far as Heat's own resource plug-ins ask them for our templates: tables in memory, and a
 * hypervisor that boots what Nova is asked for. Everything that Neutron would enforce is only remembered.
 */
export class StandIns {
  readonly port = 8774;
  readonly servers = new Map<string, ServerRecord>();
  readonly #tables = new Map<string, Map<string, Row>>();
  readonly #hypervisor: Hypervisor;
  #http: Server | undefined;
  #lastAddress = 10;
  /** Questions that found nothing, for a test that fails. */
  readonly missed: string[] = [];
  /** What Neutron and Nova were asked to change, in order: `DELETE floatingips`. */
  readonly changes: string[] = [];

  constructor(hypervisor: Hypervisor) {
    this.#hypervisor = hypervisor;
    const known = (id: string, more: object = {}) => ({ id, name: id, ...more });
    this.#table('networks').set('public', known('public', { subnets: [] }));
    this.#table('networks').set('lan', known('lan', { subnets: [] }));
    this.#table('routers').set('router', known('router', { routes: [] }));
  }

  get address(): string {
    return `http://${CLOUD}:${this.port}`;
  }

  async start(): Promise<void> {
    const http = createServer((request, response) => {
      void answer(request, (method, path, body) => this.#route(method, path, body)).then(({ status, body }) => {
        if (status === 404) this.missed.push(`${request.method} ${request.url}`);
        response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
        response.end(body === undefined ? '' : JSON.stringify(body));
      });
    });
    this.#http = http;
    await new Promise<void>((resolve) => http.listen(this.port, CLOUD, resolve));
  }

  stop(): void {
    this.#http?.close();
  }

  /** Routes on the tenant router at this moment. */
  routes(): readonly unknown[] {
    return (this.#table('routers').get('router')?.['routes'] as unknown[]) ?? [];
  }

  /** The only port there is of a kind of thing, for looking at what the template asked for. */
  rows(table: string): readonly Row[] {
    return [...this.#table(table).values()];
  }

  #table(name: string): Map<string, Row> {
    const table = this.#tables.get(name) ?? new Map<string, Row>();
    this.#tables.set(name, table);
    return table;
  }

  #route(method: string, url: URL, body: Record<string, unknown>): Reply | Promise<Reply> {
    const [, service, ...path] = url.pathname.split('/');
    switch (service) {
      case 'compute':
        return this.#compute(method, path.slice(1), body);
      case 'network':
        return this.#network(method, path.slice(1), url.searchParams, body);
      case 'image':
        return this.#image(
          path.filter((part) => part !== 'v2'),
          url.searchParams,
        );
      default:
        return UNKNOWN;
    }
  }

  #compute(
    method: string,
    [kind = '', id = '', sub = '']: readonly string[],
    body: Record<string, unknown>,
  ): Reply | Promise<Reply> {
    const flavor = { id: 'm1.small', name: 'm1.small', ram: 1024, vcpus: 2, disk: 10 };
    switch (kind) {
      case '':
        return {
          status: 200,
          body: { version: { id: 'v2.1', status: 'CURRENT', version: '2.1', min_version: '2.1' } },
        };
      case 'flavors':
        return { status: 200, body: id === '' || id === 'detail' ? { flavors: [flavor] } : { flavor } };
      case 'os-keypairs':
        return { status: 200, body: { keypair: { name: id, id } } };
      case 'limits':
        return { status: 200, body: { limits: { absolute: { maxServerMeta: 128 }, rate: [] } } };
      case 'os-server-groups':
        return this.#rows('server_groups', 'server_group', method, id, new URLSearchParams(), body);
      case 'servers':
        return this.#server(method, id, sub, body);
      default:
        return { status: 200, body: { [kind]: [] } };
    }
  }

  async #server(method: string, id: string, sub: string, body: Record<string, unknown>): Promise<Reply> {
    if (method === 'POST' && id === '') {
      const hints = body['os:scheduler_hints'] as Record<string, unknown> | undefined;
      return this.#boot(body['server'] as Record<string, unknown>, hints?.['group']);
    }
    const server = this.servers.get(id);
    if (server === undefined || server.status === 'DELETED') return UNKNOWN;
    if (method === 'DELETE') {
      this.changes.push('DELETE servers');
      server.status = 'DELETED';
      await this.#hypervisor.destroy(server);
      return { status: 204 };
    }
    if (sub === 'action') {
      this.changes.push(`${Object.keys(body)[0]} servers`);
      if ('suspend' in body) server.status = 'SUSPENDED';
      if ('resume' in body) server.status = 'ACTIVE';
      return { status: 202 };
    }
    if (sub === 'metadata') return { status: 200, body: { metadata: {} } };
    if (sub === 'os-interface') return { status: 200, body: { interfaceAttachments: [] } };
    const address = {
      addr: server.address,
      version: 4,
      'OS-EXT-IPS:type': 'fixed',
      'OS-EXT-IPS-MAC:mac_addr': 'fa:16:3e:00:00:01',
    };
    const { status, name } = server;
    return {
      status: 200,
      body: { server: { id, name, status, addresses: { lan: [address] }, metadata: {}, links: [] } },
    };
  }

  #boot(asked: Record<string, unknown>, group: unknown): Reply {
    const [nic] = asked['networks'] as readonly { readonly port: string }[];
    const port = this.#table('ports').get(nic?.port ?? '');
    const [fixed] = (port?.['fixed_ips'] ?? []) as readonly { readonly ip_address: string }[];
    const server: ServerRecord = {
      id: randomUUID(),
      name: String(asked['name']),
      userData: Buffer.from((asked['user_data'] ?? '') as string, 'base64').toString(),
      address: fixed?.ip_address ?? '',
      group,
      status: 'BUILD',
    };
    this.servers.set(server.id, server);
    void this.#hypervisor.boot(server).then(() => {
      if (server.status === 'BUILD') server.status = 'ACTIVE';
    });
    return { status: 202, body: { server: { id: server.id, links: [], adminPass: 'none' } } };
  }

  #network(method: string, path: readonly string[], query: URLSearchParams, body: Record<string, unknown>): Reply {
    const [kind = '', id = '', verb = ''] = path;
    if (kind === 'extensions') {
      const extensions = ['security-group', 'router', 'extraroute', 'extraroute-atomic', 'allowed-address-pairs'];
      return { status: 200, body: { extensions: extensions.map((alias) => ({ alias, name: alias })) } };
    }
    if (kind === 'routers' && verb !== '') return this.#extraRoutes(id, verb, body);
    const one = kind.replaceAll('-', '_').replace(/s$/, '');
    return this.#rows(kind.replaceAll('-', '_'), one, method, id, query, body);
  }

  #extraRoutes(id: string, verb: string, body: Record<string, unknown>): Reply {
    const router = this.#table('routers').get(id);
    if (router === undefined) return UNKNOWN;
    this.changes.push(`${verb} routers`);
    const { routes: changed } = body['router'] as { readonly routes: readonly object[] };
    const same = (a: object) => changed.some((b) => isDeepStrictEqual(a, b));
    const kept = (router['routes'] as object[]).filter((route) => !same(route));
    router['routes'] = verb === 'add_extraroutes' ? [...kept, ...changed] : kept;
    return { status: 200, body: { router } };
  }

  #rows(
    table: string,
    one: string,
    method: string,
    id: string,
    query: URLSearchParams,
    body: Record<string, unknown>,
  ): Reply {
    const rows = this.#table(table);
    if (method !== 'GET') this.changes.push(`${method} ${table}`);
    if (method === 'POST') {
      const row = { ...this.#defaults(table), ...(body[one] as object), id: randomUUID() };
      rows.set(row.id, row);
      return { status: 201, body: { [one]: row } };
    }
    if (method === 'GET' && id === '') {
      const found = [...rows.values()].filter((row) =>
        [...query].every(([k, v]) => k === 'fields' || k === 'limit' || row[k] === v),
      );
      return { status: 200, body: { [table]: found } };
    }
    const row = rows.get(id);
    if (row === undefined) return UNKNOWN;
    if (method === 'DELETE') rows.delete(id);
    if (method === 'PUT') Object.assign(row, body[one]);
    return method === 'DELETE' ? { status: 204 } : { status: 200, body: { [one]: row } };
  }

  /** What Neutron adds by itself to a new row. */
  #defaults(table: string): object {
    this.#lastAddress += 1;
    switch (table) {
      case 'ports':
        return { status: 'ACTIVE', fixed_ips: [{ ip_address: `198.18.0.${this.#lastAddress}`, subnet_id: 'lan' }] };
      case 'floatingips':
        return { status: 'ACTIVE', floating_ip_address: `203.0.113.${this.#lastAddress}` };
      case 'security_groups':
        return { security_group_rules: [] };
      default:
        return {};
    }
  }

  #image([kind = '', id = '']: readonly string[], query: URLSearchParams): Reply {
    if (kind === 'schemas') return { status: 200, body: { name: id, properties: {} } };
    const image = { id: 'dtunnel', name: 'dtunnel', status: 'active', min_disk: 0, min_ram: 0, disk_format: 'qcow2' };
    if (id === '')
      return { status: 200, body: { images: query.get('name') === image.name ? [image] : [], schema: '', first: '' } };
    return id === image.id ? { status: 200, body: image } : UNKNOWN;
  }
}

async function answer(
  request: IncomingMessage,
  route: (method: string, url: URL, body: Record<string, unknown>) => Reply | Promise<Reply>,
): Promise<Reply> {
  let text = '';
  for await (const part of request) text += part;
  const body = text === '' ? {} : JSON.parse(text);
  return route(request.method ?? 'GET', new URL(request.url ?? '/', 'http://cloud'), body);
}
