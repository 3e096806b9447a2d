/** What publishes a release. The workflow itself was never run: it is read, and its own script is run. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const root = new URL('../../', import.meta.url);
const text = readFileSync(new URL('.github/workflows/release.yml', root), 'utf8');
const { jobs, permissions } = parse(text);
const { version } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'));

describe('.github/workflows/release.yml', () => {
  it('publishes nothing that was not tested, and may do no more than each job needs', () => {
    expect(permissions).toEqual({ contents: 'read' });
    const isTested = (name: string): boolean =>
      name === 'test' || [jobs[name].needs].flat().some((before) => isTested(before));
    for (const name of Object.keys(jobs)) expect(isTested(name), name).toBe(true);
    expect(text).not.toMatch(/write-all|NPM_TOKEN|NODE_AUTH_TOKEN/);
  });

  it('builds the image with a bill of materials and provenance', () => {
    const steps: { uses?: string; with?: object }[] = jobs.image.steps;
    const { with: build } = steps.find(({ uses }) => uses?.startsWith('docker/build-push-action@'))!;
    expect(build).toMatchObject({ sbom: true, provenance: 'mode=max', push: true });
  });

  it('names the packages that there are, which are private until their names are decided', () => {
    const packages = readdirSync(new URL('packages/', root)).map((name) => `packages/${name}`);
    const published = [...text.matchAll(/--workspace (\S+)/g)].map(([, name]) => name!);
    expect(published.length).toBeGreaterThan(0);
    for (const name of published) {
      expect(packages).toContain(name);
      expect(JSON.parse(readFileSync(new URL(`${name}/package.json`, root), 'utf8')).private).toBe(true);
    }
    expect(text).toContain('It has never\n# run');
  });
});

describe('build/release-version.mjs', () => {
  const run = (tag: string) =>
    spawnSync(process.execPath, ['build/release-version.mjs', tag], { cwd: root, encoding: 'utf8' });

  it('takes the tag of the version', () => expect(run(`v${version}`)).toMatchObject({ status: 0, stderr: '' }));

  it.each(['v9.9.9', version, ''])('refuses %j, and says what has another version', (tag) => {
    const { status, stderr } = run(tag);
    expect(status).toBe(1);
    for (const file of ['package.json', 'packages/client/package.json', 'Chart.yaml (appVersion)'])
      expect(stderr).toContain(file);
  });
});
