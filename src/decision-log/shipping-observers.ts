import { Injectable } from '@nestjs/common';
import { Observers } from '../logging/observers.js';
import type { Commit } from './decision-log-options.js';

/** Who hears of batches that were shipped to PostgreSQL, for measuring. */
@Injectable()
export class ShippingObservers extends Observers<Commit> {}
