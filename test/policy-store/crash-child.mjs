/**
 * Starts a policy store, changes what it serves, and kills its own process with SIGKILL at one point on the way.
 *
 *     node crash-child.mjs <directory> <database> reload|rollback <point> <rules or version>
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SqlitePolicyArchive } from '../../dist/policy-store/archive/sqlite/sqlite-policy-archive.js';
import { DirectorySource } from '../../dist/policy-store/directory/directory-source.js';
import { PolicyStore } from '../../dist/policy-store/policy-store.js';

const [directory, database, change, point, what] = process.argv.slice(2);
let armed = false;

function pass(name) {
  if (armed && name === point) process.kill(process.pid, 'SIGKILL');
}

/** The same archive, with a point before and after each of its steps. */
function observed(archive) {
  return new Proxy(archive, {
    get(target, name) {
      const member = target[name];
      if (typeof member !== 'function') return member;
      return async (...args) => {
        pass(`before ${name}`);
        const result = await member.apply(target, args);
        pass(`after ${name}`);
        return result;
      };
    },
  });
}

const log = { info: (_details, message) => pass(message), warn: () => undefined, error: () => undefined };
const archive = await SqlitePolicyArchive.open(database);
const source = new DirectorySource({ directory, pollMs: 20, settleMs: 5, onDefect: (error) => console.error(error) });
const store = new PolicyStore({ source, archive: observed(archive), log });
await store.start();
armed = true;
if (change === 'reload') {
  writeFileSync(join(directory, 'acl/rules.csv'), what);
  await store.reload('acl');
} else {
  await store.rollback('acl', what, 'a test');
}
pass('end');
process.exit(1);
