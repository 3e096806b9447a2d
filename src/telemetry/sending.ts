/** Something that sends in the background. */
export interface Sending {
  /** Sends what is left. */
  stop(): Promise<void>;
}
