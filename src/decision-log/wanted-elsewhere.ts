import { Injectable } from '@nestjs/common';

/** Up to where the records of this process are done with elsewhere; it is asked for while the service is created, and answered from then on. */
@Injectable()
export class WantedElsewhere {
  private readonly readers: (() => number)[] = [];

  /** @param doneTo returns the highest sequence that is not wanted any more */
  by(doneTo: () => number): void {
    this.readers.push(doneTo);
  }

  get doneTo(): number {
    return Math.min(Number.MAX_SAFE_INTEGER - 1, ...this.readers.map((doneTo) => doneTo()));
  }
}
