/** Chromium as Debian has it, driven by the DevTools protocol over a pipe: no package is needed, and no port is open. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

const program = 'chromium';
const flags = [
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
  '--remote-debugging-pipe',
];

/** Where it is missing, its tests are skipped, unless `VERDICT_TEST_REQUIRE=all`. */
export const hasChromium =
  process.env.VERDICT_TEST_REQUIRE === 'all' || spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  // biome-ignore lint/suspicious/noExplicitAny: each command has a result of its own
  readonly result?: any;
  readonly error?: { readonly message: string };
}

export class Chromium {
  private readonly waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  private readonly profile = mkdtempSync(join(tmpdir(), 'verdict-chromium-'));
  private readonly child: ChildProcess;
  private last = 0;
  private listener: (message: Message) => void = () => undefined;

  constructor() {
    const args = [...flags, `--user-data-dir=${this.profile}`, 'about:blank'];
    this.child = spawn(program, args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    let text = '';
    (this.child.stdio[4] as Readable).setEncoding('utf8').on('data', (chunk: string) => {
      const messages = (text + chunk).split('\0');
      text = messages.pop()!;
      for (const message of messages) this.take(JSON.parse(message) as Message);
    });
    this.child.once('exit', () => {
      for (const { reject } of this.waiting.values()) reject(new Error('Chromium ended'));
    });
  }

  // biome-ignore lint/suspicious/noExplicitAny: each command has a result of its own
  send(method: string, params: object = {}, sessionId?: string): Promise<any> {
    const id = ++this.last;
    const message = JSON.stringify({ id, method, params, ...(sessionId !== undefined && { sessionId }) });
    (this.child.stdio[3] as Writable).write(`${message}\0`);
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  async open(): Promise<Tab> {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const tab = new Tab(this, sessionId);
    this.listener = (message) => tab.note(message.method, message.params);
    for (const domain of ['Page', 'Runtime', 'Log']) await this.send(`${domain}.enable`, {}, sessionId);
    return tab;
  }

  async close(): Promise<void> {
    const ended = once(this.child, 'exit');
    // Its own end, so that no process of it is left that still writes into the profile.
    this.send('Browser.close').catch(() => undefined);
    await ended;
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  private take(message: Message): void {
    if (message.id === undefined) {
      this.listener(message);
      return;
    }
    const waiting = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if (message.error === undefined) waiting?.resolve(message.result);
    else waiting?.reject(new Error(message.error.message));
  }
}

export class Tab {
  /** What the console would show in red: errors of scripts, and what the page's policy refused. */
  readonly problems: string[] = [];

  constructor(
    private readonly chromium: Chromium,
    private readonly session: string,
  ) {}

  note(method: string | undefined, params: Record<string, unknown> = {}): void {
    if (method === 'Runtime.exceptionThrown') this.problems.push(JSON.stringify(params.exceptionDetails));
    const entry = params.entry as { level: string; text: string } | undefined;
    if (method === 'Log.entryAdded' && entry?.level === 'error') this.problems.push(entry.text);
  }

  async goTo(url: string): Promise<void> {
    await this.chromium.send('Page.navigate', { url }, this.session);
  }

  /** What an expression is in the page. */
  async read<Value>(expression: string): Promise<Value> {
    const params = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
    const { result, exceptionDetails } = await this.chromium.send('Runtime.evaluate', params, this.session);
    if (exceptionDetails !== undefined) throw new Error(exceptionDetails.exception?.description ?? 'failed');
    return result.value as Value;
  }
}
