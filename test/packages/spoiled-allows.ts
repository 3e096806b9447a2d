/** Allows that no client may go by, since what they came in is no answer. */
import { scripted } from './scripted-server.js';

/** A whole decision, as the service would send it. */
export const allow = JSON.stringify({
  allowed: true,
  decision: 'allow',
  decisionId: '01a200ac-627f-7000-9018-6556f1403c70',
  policySet: 'default',
  policyVersion: 'sha256:00',
  reason: { code: 'rule_allowed', message: '' },
  obligations: [],
  errors: [],
});

const json = 'application/json';
const spoiled: readonly (readonly [status: number, type: string])[] = [
  [201, json],
  [202, json],
  [302, json],
  // By this one, a client that follows asks the same again.
  [307, json],
  [200, 'text/html; charset=utf-8'],
  [200, 'application/json-seq'],
  [200, ''],
];

/** Calls `ask` with the address of a server that allows in each of these ways; who follows its redirects finds a good allow. */
export async function eachSpoiled(ask: (url: string, how: string) => Promise<void>): Promise<void> {
  for (const [status, type] of spoiled) {
    const server = await scripted(({ path }, response) => {
      if (path === '/elsewhere') response.writeHead(200, { 'content-type': json }).end(allow);
      else {
        const headers = {
          ...(type !== '' && { 'content-type': type }),
          ...(status >= 300 && { location: '/elsewhere' }),
        };
        response.writeHead(status, headers).end(allow);
      }
    });
    try {
      await ask(server.url, `${status} ${type}`);
    } finally {
      await server.stop();
    }
  }
}
