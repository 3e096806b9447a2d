/** Programs that tests start if they are installed. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

export const pathWithSbin = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`;

/** True if a program that is not installed makes its tests fail, and not skip. */
export const required = process.env.VERDICT_TEST_REQUIRE === 'all';

export function isInstalled(command: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`], { env: { PATH: pathWithSbin } });
    return true;
  } catch {
    return false;
  }
}

/** Resolves when something listens on the port. */
export async function untilOpen(port: number, failure: () => string | false): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const text = failure();
    if (text !== false) throw new Error(`the gateway did not start: ${text}`);
    const socket = connect(port, '127.0.0.1');
    const open = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (open) return;
    await delay(50);
  }
  throw new Error('the gateway does not listen');
}
