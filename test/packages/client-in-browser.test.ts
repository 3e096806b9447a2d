/** `@verdict/client` in a page of another origin, in Chromium, with the service as it is built. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type BuiltService, startBuiltService } from '../authzen/built-service.js';
import { Chromium, hasChromium, type Tab } from '../browser/chromium.js';
import { idModel } from '../models.js';
import { ScratchProject } from './scratch-project.js';
import { type ScriptedServer, scripted } from './scripted-server.js';

const files = { 'default/model.conf': idModel, 'default/rules.csv': 'p, ann, doc-1, read\n' };

describe.skipIf(!hasChromium)('in a browser', { timeout: 180_000 }, () => {
  const project = new ScratchProject();
  let page: ScriptedServer;
  let service: BuiltService;
  let chromium: Chromium;
  let tab: Tab;

  beforeAll(async () => {
    project.install('client');
    const entry = project.write('entry.js', "export * from '@verdict/client';");
    const options = ['--bundle', '--minify', '--format=iife', '--global-name=client', '--log-level=error'];
    const code = project.run('esbuild', [entry, ...options]);
    page = await scripted(({ path }, response) => {
      const type = path === '/client.js' ? 'text/javascript' : 'text/html';
      const html = '<!doctype html><title>page</title><script src="/client.js"></script>';
      response.writeHead(200, { 'content-type': type }).end(path === '/client.js' ? code : html);
    });
    service = await startBuiltService(files, { VERDICT_CORS_ORIGINS: page.url });
    chromium = new Chromium();
    tab = await chromium.open();
    await tab.goTo(page.url);
    await vi.waitFor(async () => expect(await tab.read('typeof client')).toBe('object'), { timeout: 60_000 });
  }, 120_000);
  afterAll(async () => {
    await chromium.close();
    await page.stop();
    await service.stop();
    project.remove();
  }, 60_000);

  /** What an asynchronous function of the page returns; `options` are those of a client. */
  const inPage = (body: string) =>
    tab.read(
      `(async (options) => { ${body} })(${JSON.stringify({ baseUrl: service.url, apiKey: service.token, timeoutMs: 60_000 })})`,
    );
  const question = "{ subject: 'ann', action: 'read', resource: 'doc-1' }";

  it('asks one by one and joined, and hands on the trace', async () => {
    const asking = `
      const traceparent = '00-${'e'.repeat(32)}-00f067aa0ba902b7-01';
      const one = new client.VerdictClient(options);
      const joined = new client.VerdictClient({ ...options, batch: true });
      return [
        await one.can(${question}, { traceparent }),
        ...(await Promise.all([joined.can(${question}), joined.can({ ...${question}, subject: 'eve' })])),
      ];`;
    expect(await inPage(asking)).toEqual([true, true, false]);
  });

  it('can send all headers that it has: the service names them to browsers', async () => {
    const asking = `
      const verdict = new client.VerdictClient(options);
      const asked = { subject: { type: 'user', id: 'ann' }, action: { name: 'read' }, resource: { type: 'doc', id: 'doc-1' } };
      const code = (error) => error.code ?? error.kind;
      return [
        await verdict.evaluate(asked, { maxStaleness: '1h' }).then(({ decision }) => decision, code),
        await verdict.evaluate(asked, { atLeast: 1 }).catch(code),
        await verdict.changeData('default', {}, { ifRevision: 7 }).catch(code),
      ];`;
    // The service, and not the browser, has no revisions and no scope for the change.
    expect(await inPage(asking)).toEqual([true, 'no_revision', 'forbidden']);
  });

  it('has no answer where the service does not know the origin, or is not there', async () => {
    const asking = `
      const silent = new client.VerdictClient({ ...options, baseUrl: 'http://127.0.0.1:1' });
      return [
        await silent.can(${question}).catch((error) => error.kind),
        await silent.can(${question}, { onUnavailable: 'deny' }),
      ];`;
    expect(await inPage(asking)).toEqual(['network', false]);
    await tab.goTo(page.url.replace('127.0.0.1', 'localhost'));
    await vi.waitFor(
      async () => {
        expect(await tab.read('location.hostname + typeof client')).toBe('localhostobject');
      },
      { timeout: 60_000 },
    );
    const elsewhere = `return new client.VerdictClient(options).can(${question}).catch((error) => error.kind);`;
    expect(await inPage(elsewhere)).toBe('network');
  });
});
