import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import { Counter, type Registry } from 'prom-client';
import { Distribution, type Observer } from './distribution.js';

/** Metrics of one route: `counts` by method and status, such as `POST 200`. */
interface RouteCounts {
  readonly counts: Map<string, Map<number, number>>;
  readonly durations: Observer;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Metrics of the route, set when it is declared. */
    metrics?: RouteCounts;
  }
}

const requestSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Route label of requests that no route answers. Their paths are not labels, since their number has no bound. */
const noRoute = 'none';

/** Requests by route template, method and status, and how long their answers take. */
export class HttpMetrics {
  private readonly routes = new Map<string, RouteCounts>();
  private readonly durations: Distribution;

  constructor(registry: Registry) {
    const routes = this.routes;
    new Counter({
      name: 'verdict_http_requests_total',
      help: 'Requests that were answered, by method, route template and status.',
      labelNames: ['method', 'route', 'status'],
      registers: [registry],
      collect() {
        this.reset();
        for (const [route, { counts }] of routes) {
          for (const [method, statuses] of counts) {
            for (const [status, count] of statuses) this.inc({ method, route, status }, count);
          }
        }
      },
    });
    this.durations = new Distribution(registry, {
      name: 'verdict_http_request_duration_seconds',
      help: 'Time from the headers of a request to the end of its answer, by route template.',
      label: 'route',
      bounds: requestSeconds,
    });
  }

  /** Counts requests of every route that is declared from now on, and requests that no route answers. */
  count(fastify: FastifyInstance): void {
    const none = this.countsOf(noRoute);
    fastify.addHook('onRoute', (route: RouteOptions) => {
      route.config = { ...route.config, metrics: this.countsOf(route.url) };
    });
    fastify.addHook('onResponse', (request: FastifyRequest, reply: FastifyReply, done) => {
      const { counts, durations } = request.routeOptions.config.metrics ?? none;
      let statuses = counts.get(request.method);
      if (statuses === undefined) {
        statuses = new Map();
        counts.set(request.method, statuses);
      }
      statuses.set(reply.statusCode, (statuses.get(reply.statusCode) ?? 0) + 1);
      durations.observe(reply.elapsedTime / 1000);
      done();
    });
  }

  private countsOf(route: string): RouteCounts {
    let counts = this.routes.get(route);
    if (counts === undefined) {
      counts = { counts: new Map(), durations: this.durations.of(route) };
      this.routes.set(route, counts);
    }
    return counts;
  }
}
