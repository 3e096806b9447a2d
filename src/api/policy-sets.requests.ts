import { Transform } from 'class-transformer';
import { IsInt, IsOptional, Matches, Max, Min } from 'class-validator';

const versionFormat = /^sha256:[0-9a-f]{64}$/;
const message = '$property must be a version, "sha256:" and 64 hexadecimal digits';

/** The query string of `GET /v1/policy-sets/{set}/versions`. */
export class VersionsQuery {
  /** Most versions on a page. */
  @IsOptional()
  @Transform(({ value }) => (/^\d{1,4}$/.test(value) ? Number(value) : value))
  @IsInt()
  @Min(1)
  @Max(1_000)
  readonly limit: number = 50;

  /** `nextCursor` of the page before. */
  @IsOptional()
  @Matches(versionFormat, { message: '$property must be the nextCursor of the page before' })
  readonly cursor?: string;
}

/** The query string of `GET /v1/policy-sets/{set}/bundle`. */
export class BundleQuery {
  /** Longest wait for another bundle than that of `If-None-Match`, in seconds. */
  @IsOptional()
  @Transform(({ value }) => (/^\d{1,2}$/.test(value) ? Number(value) : value))
  @IsInt()
  @Min(0)
  @Max(60)
  readonly wait: number = 0;
}

/** The query string of `GET /v1/policy-sets/{set}/diff`. */
export class DiffQuery {
  @Matches(versionFormat, { message })
  readonly from!: string;

  /** By default the version that is served now. */
  @IsOptional()
  @Matches(versionFormat, { message })
  readonly to?: string;
}

/** The body of `POST /v1/policy-sets/{set}/rollback`. */
export class RollbackRequest {
  @Matches(versionFormat, { message })
  readonly version!: string;
}
