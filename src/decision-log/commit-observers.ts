import { Injectable } from '@nestjs/common';
import type { Commit } from './decision-log-options.js';

/** Who hears of commits, for measuring: added while the service is put together, before there are any. */
@Injectable()
export class CommitObservers {
  private readonly observers: ((commit: Commit) => void)[] = [];

  add(observer: (commit: Commit) => void): void {
    this.observers.push(observer);
  }

  committed(commit: Commit): void {
    for (const observer of this.observers) observer(commit);
  }
}
