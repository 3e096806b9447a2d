import { Module } from '@nestjs/common';
import { Siblings } from './siblings.js';

/** The other workers of this service, where there are several. */
@Module({
  providers: [{ provide: Siblings, useFactory: () => new Siblings() }],
  exports: [Siblings],
})
export class WorkersModule {}
