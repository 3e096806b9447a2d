import { expect, it, onTestFinished } from 'vitest';
import { type Answer, startService } from './service.js';

it('when records cannot keep up decisions are refused with 503, and every answer has its record', async () => {
  const service = await startService(undefined, { decisionLogQueue: 3 });
  onTestFinished(() => service.stop());
  const ask = () => service.post('/v1/decide', { subject: 'ann', action: 'read', resource: 'doc' });
  const isRefused = ({ status }: Answer) => status === 503;
  const answers: Answer[] = [];
  // A machine that is slow to ask may let the log keep up with one crowd, though not with each.
  while (!answers.some(isRefused)) answers.push(...(await Promise.all(Array.from({ length: 40 }, ask))));
  const refused = answers.filter(isRefused);
  const answered = answers.filter(({ status }) => status === 200);
  expect(refused.length + answered.length).toBe(answers.length);
  for (const { headers, body } of refused) {
    expect(headers['retry-after']).toBe('1');
    expect(body.type).toBe('urn:verdict:problem:decision_log_unavailable');
    expect(body).not.toHaveProperty('allowed');
  }
  const { items } = (await service.get('/v1/decisions?limit=1000')).body;
  const recorded = items.map(({ id }: { id: string }) => id);
  expect(recorded.sort()).toEqual(answered.map(({ body }) => body.decisionId).sort());
  expect((await ask()).status).toBe(200);
});

it('with the log in mode async no decision is refused, and what is lost is named', async () => {
  const service = await startService(undefined, { decisionLog: 'async', decisionLogQueue: 3 });
  onTestFinished(() => service.stop());
  const ask = () => service.post('/v1/decide', { subject: 'ann', action: 'read', resource: 'doc' });
  const answers = await Promise.all(Array.from({ length: 40 }, ask));
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 40 }, () => 200));
  await expect.poll(() => service.log.depth).toBe(0);
  const { items, gaps } = (await service.get('/v1/decisions?limit=1000')).body;
  const lost = (gaps ?? []).reduce((sum: number, gap: { lost: number }) => sum + gap.lost, 0);
  expect(items.length + lost).toBe(40);
  expect(lost).toBe(service.log.status.lost);
});
