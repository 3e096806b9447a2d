import { Integer, Parts, Text, Time } from '../../answers/members.js';

export class ArchivedFile {
  @Text()
  readonly path!: string;

  @Text({ description: 'SHA-256 of the content, in hexadecimal.' })
  readonly digest!: string;

  @Integer({ description: 'In bytes.' })
  readonly size!: number;
}

/** A version that served, without the content of its files. */
export class ArchivedVersion {
  @Text()
  readonly version!: string;

  @Parts(() => ArchivedFile)
  readonly files!: readonly ArchivedFile[];

  @Text({ optional: true, description: 'The version of these files, where it served with live data.' })
  readonly filesVersion?: string;

  @Integer({ optional: true, description: 'The revision of the live data that it served with.' })
  readonly dataRevision?: number;

  @Text({ optional: true, description: 'The commit that it came from, where its folder was a git tree.' })
  readonly gitCommit?: string;

  /** `core/semantics.ts` */
  @Integer({ description: 'The number of the defaults that it served under last.' })
  readonly semantics!: number;

  @Time()
  readonly firstServed!: string;

  @Time({ description: 'When it was last put into service.' })
  readonly lastServed!: string;
}

/** Some of the versions of a set. */
export class VersionsPage {
  @Parts(() => ArchivedVersion, { description: 'Newest first.' })
  readonly items!: readonly ArchivedVersion[];

  @Text({ optional: true, description: 'Missing on the last page.' })
  readonly nextCursor?: string;
}
