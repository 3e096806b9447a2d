/** A process of its own that decides and says so: for tests that end it. */
import { LocalVerdict } from '@verdict/client/local';

const [baseUrl, directory] = process.argv.slice(2);
const verdict = await LocalVerdict.open({ baseUrl, policySets: ['docs'], journal: { directory }, onWarning: () => {} });
console.log('open');
for (;;) {
  for (let at = 0; at < 20; at++) verdict.decide({ subject: `s${at}`, action: 'read', resource: 'doc' });
  console.log('decided');
  await new Promise((resolve) => setTimeout(resolve, 1));
}
