import { IsOptional, Matches } from 'class-validator';

/** The body of `POST /v1/decisions/{id}/replay`. */
export class ReplayRequest {
  /** Another version of the same policy set; without it, the one that decided. */
  @IsOptional()
  @Matches(/^sha256:[0-9a-f]{64}$/, {
    message: '$property must be a version, "sha256:" and 64 hexadecimal digits',
  })
  readonly version?: string;
}
