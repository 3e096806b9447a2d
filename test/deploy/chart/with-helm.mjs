/**
 * Runs the tests of the chart with Helm. Where it is not installed it is built by Go, once, which takes some minutes.
 *
 *     node test/deploy/chart/with-helm.mjs [-u]    # -u writes what the chart renders
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const version = 'v4.3.1';

let path = process.env.PATH;
if (spawnSync('helm', ['version'], { stdio: 'ignore' }).status !== 0) {
  const folder = join(tmpdir(), `verdict-helm-${version}`);
  path = `${folder}:${path}`;
  if (!existsSync(join(folder, 'helm'))) {
    const env = { ...process.env, GOBIN: folder };
    const built = spawnSync('go', ['install', `helm.sh/helm/v4/cmd/helm@${version}`], { env, stdio: 'inherit' });
    if (built.status !== 0) {
      console.error('helm is not installed, and could not be built: it wants Go');
      process.exit(1);
    }
  }
}
const { status } = spawnSync('npx', ['vitest', 'run', 'test/deploy/chart', ...process.argv.slice(2)], {
  env: { ...process.env, PATH: path, VERDICT_TEST_HELM: 'required' },
  stdio: 'inherit',
});
process.exit(status ?? 1);
