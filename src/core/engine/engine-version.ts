/** Recorded with every decision: another version of the engine may answer otherwise. The package's own version. */
export const engineVersion = '0.1.0';
