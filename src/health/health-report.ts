import { OpenObject, Text } from '../answers/members.js';

/** The answer of Terminus: the indicators by their names. */
export class HealthReport {
  @Text()
  readonly status!: string;

  @OpenObject({ description: 'What is well.' })
  readonly info!: object;

  @OpenObject({ description: 'What is not.' })
  readonly error!: object;

  @OpenObject({ description: 'Both.' })
  readonly details!: object;
}
