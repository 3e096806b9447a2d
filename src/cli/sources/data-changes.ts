/** Changes of the live data of a running service. */
import { managementPathOf } from './policy-versions.js';
import { askServer, type ServerOptions, ServerRefusal } from './server.js';

/** A change that was made. */
export interface WrittenData {
  readonly set: string;
  readonly version: string;
  readonly revision: number;
  readonly added: number;
  readonly removed: number;
}

/** @throws ServerRefusal, UsageError */
export async function sendDataChange(
  server: ServerOptions,
  set: string,
  change: object,
  headers: Readonly<Record<string, string>>,
): Promise<WrittenData> {
  return (await askServer(server, 'POST', `${managementPathOf(set)}/changes`, change, headers)) as WrittenData;
}

/** Whether the service refuses what was sent, and not the caller, or everybody for a while. */
export function isRefusedChange(error: unknown): error is ServerRefusal {
  return error instanceof ServerRefusal && [400, 409, 412, 413].includes(error.status);
}
