/** Attributes that a manifest hashes (docs/decision-log.md): records join on them, and nobody learns them. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { verdict, workFolder } from '../cli/run.js';
import { startService } from '../http/service.js';
import { idModel } from '../models.js';

const files = {
  'default/model.conf': idModel,
  'default/rules.csv': 'p, ann, doc, read\n',
  'default/policy-set.yaml': 'decisionLog: { hash: [/subject/attributes/account, /resource/attributes/owner] }\n',
  'default/entities.yaml': '- {type: user, id: ann, attributes: {account: CH-93-0076, level: 3}}\n',
};
const asked = (id: string, account: string | undefined, owner: string) => ({
  subject: { type: 'user', id, ...(account !== undefined && { attributes: { account } }) },
  action: 'read',
  resource: { type: 'doc', id: 'doc', attributes: { owner } },
});

it('equal values are equal in records, requested and stored, and no condition reads them', async () => {
  const maskKey = randomBytes(32).toString('base64');
  const service = await startService(files, { maskKey });
  onTestFinished(() => service.stop());
  await service.post('/v1/decide', asked('bob', 'CH-93-0076', 'CH-11-1111'));
  await service.post('/v1/decide', asked('ann', undefined, 'CH-93-0076'));
  const page = async (query = '') => (await service.get(`/v1/decisions?expand=resolved${query}`)).body;
  const { items } = await page();
  const [ann, bob] = items;
  const hash = bob.request.subject.attributes.account;
  expect(hash).toMatch(/^\[hash:[\w-]{22}\]$/);
  expect(ann.request.resource.attributes.owner).toBe(hash);
  expect(bob.request.resource.attributes.owner).not.toBe(hash);
  expect(ann.resolved.subject.attributes).toEqual({ account: hash, level: 3 });
  expect(items.map(({ masked }: { masked: boolean }) => masked)).toEqual([true, true]);
  expect(JSON.stringify(items)).not.toContain('CH-');
  expect((await page(`&q=${encodeURIComponent(hash)}`)).items).toHaveLength(2);
  const filtered = await page(`&filter=${encodeURIComponent("subject.account != 'CH-93-0076'")}`);
  expect(filtered).toMatchObject({ items: [], erred: 2 });
  const database = join(service.directory, 'data/verdict.sqlite');
  for (const [env, account] of [
    [{ VERDICT_MASK_KEY: maskKey }, hash],
    [{}, '[masked]'],
  ] as const) {
    const cwd = workFolder({ policies: false });
    const args = ['log', 'query', '--subject', 'ann', '--expand', 'resolved', '--database', database];
    const { stdout } = await verdict(args, { cwd, env });
    expect(JSON.parse(stdout).resolved.subject.attributes.account).toBe(account);
  }
  const wrong = { cwd: workFolder({ policies: false }), env: { VERDICT_MASK_KEY: 'secret' } };
  const ran = await verdict(['log', 'query', '--expand', 'resolved', '--database', database], wrong);
  expect(ran).toMatchObject({ code: 2, stderr: expect.stringContaining('VERDICT_MASK_KEY must be 32 random bytes') });
});

it('without a key they are masked', async () => {
  const service = await startService(files);
  onTestFinished(() => service.stop());
  await service.post('/v1/decide', asked('bob', 'CH-93-0076', 'CH-11-1111'));
  const { items } = (await service.get('/v1/decisions')).body;
  expect(items[0].request).toMatchObject({
    subject: { attributes: { account: '[masked]' } },
    resource: { attributes: { owner: '[masked]' } },
  });
});
