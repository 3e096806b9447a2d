import { Controller, Get, Header } from '@nestjs/common';
import { Fleet } from '../fleet/fleet.js';
import { FleetReport } from '../fleet/fleet-report.js';
import { Requires } from '../http/access.js';
import { Documented } from '../http/operation.js';

/** The replicas, and what each serves. */
@Controller('v1/fleet')
export class FleetController {
  constructor(private readonly fleet: Fleet) {}

  @Get()
  @Requires('policies:read', { allSets: true })
  @Header('cache-control', 'no-store')
  @Documented({
    id: 'showFleet',
    tag: 'policies',
    summary: 'The replicas: what each serves since when, how it is, how far its log is, and where they differ',
    answers: { 200: { description: 'All replicas that were heard of within the hour.', json: FleetReport } },
  })
  describe(): Promise<FleetReport> {
    return this.fleet.report();
  }
}
