import { Injectable } from '@nestjs/common';
import type { LoadEvent } from './policy-store-options.js';

/** Observers of loads, for metrics. They are added while the service is created, before the first load. */
@Injectable()
export class LoadObservers {
  private readonly observers: ((event: LoadEvent) => void)[] = [];

  add(observer: (event: LoadEvent) => void): void {
    this.observers.push(observer);
  }

  loaded(event: LoadEvent): void {
    for (const observer of this.observers) observer(event);
  }
}
