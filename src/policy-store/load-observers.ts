import { Injectable } from '@nestjs/common';
import { Observers } from '../logging/observers.js';
import type { LoadEvent } from './policy-store-options.js';

/** Observers of loads of policy sets. */
@Injectable()
export class LoadObservers extends Observers<LoadEvent> {}
