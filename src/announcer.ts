import type { ServingUrls } from './workers/messages.js';

/** What the process that serves tells of its start. */
export interface Announcer {
  serving(urls: ServingUrls): void;
  /** Says why it cannot serve, and ends the process. */
  failed(message: string, code: number): never;
}
