import type { Missing, SetContent } from './messages.js';

/** Versions that are kept as they were read: each thread asks for those that it meets, about the same ones at a time. */
export const keptContents = 4;

/** The versions that were read last. A version can be of a million entries, and a log can name thousands. */
export class RecentContents {
  /** The one that was used last is last. */
  private readonly kept = new Map<string, Promise<SetContent | Missing>>();

  constructor(private readonly read: (version: string) => Promise<SetContent | Missing>) {}

  get(version: string): Promise<SetContent | Missing> {
    const content = this.kept.get(version) ?? this.read(version);
    this.kept.delete(version);
    this.kept.set(version, content);
    content.catch(() => this.kept.delete(version));
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= keptContents) break;
      this.kept.delete(oldest);
    }
    return content;
  }
}
