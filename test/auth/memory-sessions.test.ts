import { expect, it } from 'vitest';
import { MemorySessions } from '../../src/auth/memory-sessions.js';
import { describeSessions } from './sessions-suite.js';

describeSessions('memory', () => {
  const sessions = new MemorySessions();
  return {
    sessions,
    fill: async (count, now) => {
      for (let each = 0; each < count; each++) await sessions.begin('other', now);
    },
  };
});

it('sessions in memory are found at once: no request waits for them', async () => {
  const sessions = new MemorySessions();
  const { token, session } = await sessions.begin('digest', 1_000);
  expect(sessions.find(token, 1_000)).toEqual(session);
  expect(sessions.knows()).toBe(true);
});
