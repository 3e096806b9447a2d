import { Injectable } from '@nestjs/common';
import type { NewDecisionRecord } from '../decision-log/decision-record.js';
import type { DecisionObserver } from './decision-recorder.js';

/** Observers of decisions, for metrics. They are added while the service is created, before the first decision. */
@Injectable()
export class DecisionObservers implements DecisionObserver {
  private readonly observers: DecisionObserver[] = [];

  add(observer: DecisionObserver): void {
    this.observers.push(observer);
  }

  answered(record: NewDecisionRecord): void {
    for (const observer of this.observers) observer.answered(record);
  }

  answeredBatch(size: number): void {
    for (const observer of this.observers) observer.answeredBatch(size);
  }
}
