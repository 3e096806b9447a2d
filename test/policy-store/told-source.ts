import type { PolicySetFiles } from '../../src/policy-store/policy-set-files.js';
import { PolicySource, type SourceSink } from '../../src/policy-store/policy-source.js';

/** A source that tells what a test has it tell. */
export class ToldSource extends PolicySource {
  readonly title = 'source of a test';
  readonly place = {};
  sink!: SourceSink;
  /** Milliseconds since 1970. */
  confirmedAt: number | undefined;
  /** What it answers when it is asked for the highest revision of a set. */
  latest: (name: string) => Promise<number | undefined> = async () => undefined;

  async start(sink: SourceSink): Promise<void> {
    this.sink = sink;
  }

  latestRevision(name: string): Promise<number | undefined> {
    return this.latest(name);
  }

  async reload(): Promise<void> {}
  async stop(): Promise<void> {}

  offer(set: PolicySetFiles, revision?: number, pinnedOver?: string): Promise<boolean> {
    return this.sink.offer({ set, revision, pinnedOver, since: performance.now() });
  }
}
