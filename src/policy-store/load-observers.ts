import { Injectable } from '@nestjs/common';
import type { LoadEvent } from './policy-store.js';

/** Who hears of loads, for measuring: added while the service is put together, before there are any. */
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
