import type { AddressInfo } from 'node:net';
import { Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { Config } from '../config/config.js';

/** URLs of the service. */
@Injectable()
export class ServiceUrl {
  constructor(
    private readonly host: HttpAdapterHost,
    private readonly config: Config,
  ) {}

  /** The URL for callers, without a slash at the end. With port 0 it is known only while the service listens. */
  get outside(): string {
    return this.config.publicUrl ?? this.own;
  }

  /** The URL that the service listens on. */
  get own(): string {
    const { address, family, port } = this.host.httpAdapter.getHttpServer().address() as AddressInfo;
    const scheme = this.config.tlsCert === undefined ? 'http' : 'https';
    return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  }
}
