import type { AddressInfo } from 'node:net';
import { Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { Config } from '../config/config.js';

/** Where the service is reached. */
@Injectable()
export class ServiceUrl {
  constructor(
    private readonly host: HttpAdapterHost,
    private readonly config: Config,
  ) {}

  /** Where callers reach it, without a slash at the end. A service that picks its port knows it once it listens. */
  get outside(): string {
    return this.config.publicUrl ?? this.own;
  }

  /** Where it listens. */
  get own(): string {
    const { address, family, port } = this.host.httpAdapter.getHttpServer().address() as AddressInfo;
    const scheme = this.config.tlsCert === undefined ? 'http' : 'https';
    return `${scheme}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
  }
}
