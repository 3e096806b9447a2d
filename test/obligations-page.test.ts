/** docs/obligations.md is true: its set is served with the draft on, and asked what it shows. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lintFolder } from '../src/cli/commands/lint-command.js';
import { obligationTypes } from '../src/core/engine/obligations.js';
import { type Service, startService } from './http/service.js';

const page = readFileSync(new URL('../docs/obligations.md', import.meta.url), 'utf8');
const text = (name: string): string => {
  const found = new RegExp(`^\`\`\`\\w+ ${name}\\n(.*?)^\`\`\``, 'ms').exec(page)?.[1];
  if (found === undefined) throw new Error(`the page has no block ${name}`);
  return found;
};
const files = { 'model.conf': text('model.conf'), 'rules.csv': text('rules.csv') };

let service: Service;
beforeAll(async () => {
  const set = Object.fromEntries(Object.entries(files).map(([name, content]) => [`default/${name}`, content]));
  service = await startService(set, { drafts: 'obligations' });
});
afterAll(() => service.stop());

describe('docs/obligations.md', () => {
  it('shows a set of which the linter finds nothing wrong', async () => {
    const read = Object.entries(files).map(([path, content]) => ({ path, bytes: Buffer.from(content) }));
    const found = await lintFolder({ name: 'set', path: 'set', files: read, problems: [] });
    expect(found.filter(({ code }) => code === 'malformed_obligation')).toEqual([]);
  });

  it('shows a request and its answer, and what becomes of it without the declaration', async () => {
    const request = JSON.parse(text('request'));
    expect((await service.post('/access/v1/evaluation', request)).body).toMatchObject(JSON.parse(text('response')));
    const { body } = await service.post('/access/v1/evaluation', { ...request, context: {} });
    expect(body).toMatchObject({ decision: false, context: { reason: { code: 'obligation_unsupported' } } });
  });

  it('lists the types', () => {
    expect([...page.matchAll(/^\| `([\w-]+)` \|/gm)].map(([, type]) => type)).toEqual([...obligationTypes]);
  });
});
