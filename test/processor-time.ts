/**
 * Processor time that this process spends on `work`, in milliseconds. Unlike the clock, it does not go on while the machine
 * is busy with another process, so a bound on it fails for what the work costs and for nothing else.
 */
export function processorMsOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  return processorMsSince(before);
}

/** As `processorMsOf`, for work that is awaited: what else the process does meanwhile counts, too. */
export async function processorMsOfAsync<Result>(work: () => Promise<Result>): Promise<[ms: number, result: Result]> {
  const before = process.cpuUsage();
  const result = await work();
  return [processorMsSince(before), result];
}

export function processorMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
