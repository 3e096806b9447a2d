import { Controller, Get } from '@nestjs/common';
import { Public } from '@verdict/nestjs';

@Controller('health')
export class HealthController {
  @Get()
  @Public()
  check(): { status: string } {
    return { status: 'ok' };
  }
}
