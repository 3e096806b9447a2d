import { Injectable } from '@nestjs/common';
import { Observers } from '../logging/observers.js';
import type { Commit } from './decision-log-options.js';

/** Observers of commits to the decision log. */
@Injectable()
export class CommitObservers extends Observers<Commit> {}
