/** The built service as a process, for all tests of a file. */
import { type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface BuiltService {
  /** Where it listens. */
  readonly url: string;
  stop(): Promise<void>;
  /** Ends it at once, as a loss of the process would. */
  kill(): Promise<void>;
}

/**
 * Starts it in a folder and resolves when it listens.
 *
 * @param args of node, from the root of the project: `dist/cli.js serve --local`
 * @param stderr where its complaints go
 */
export async function startBuilt(
  cwd: string,
  env: Record<string, string>,
  { args = ['dist/cli.js', 'serve', '--local'], stderr = 'ignore' as 'ignore' | 'inherit' } = {},
): Promise<BuiltService> {
  const [program, ...others] = args;
  const stdio: StdioOptions = ['ignore', 'pipe', stderr];
  const root = fileURLToPath(new URL('..', import.meta.url));
  const service = spawn(process.execPath, [`${root}/${program}`, ...others], {
    cwd,
    env: { PATH: process.env.PATH, VERDICT_PORT: '0', ...env },
    stdio,
  });
  let url = '';
  for await (const line of createInterface({ input: service.stdout! })) {
    url = /^verdict listening on (http:\S+)$/.exec(line)?.[1] ?? '';
    if (url !== '') break;
  }
  service.stdout!.resume();
  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    service.kill(signal);
    await once(service, 'exit');
  };
  return { url, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') };
}
