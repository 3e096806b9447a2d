/**
 * Says whether everything that is released has the version of a tag; exit code 1 where not.
 *
 *     node build/release-version.mjs v0.1.0
 */
import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';

const root = new URL('../', import.meta.url);
const read = (file) => readFileSync(new URL(file, root), 'utf8');

const versions = [
  ...['package.json', ...readdirSync(new URL('packages/', root)).map((name) => `packages/${name}/package.json`)].map(
    (file) => [file, JSON.parse(read(file)).version],
  ),
  ...['version', 'appVersion'].map((member) => [
    `deploy/helm/verdict/Chart.yaml (${member})`,
    parse(read('deploy/helm/verdict/Chart.yaml'))[member],
  ]),
];
const tag = process.argv[2] ?? '';
const wrong = versions.filter(([, version]) => `v${version}` !== tag);
for (const [file, version] of wrong) console.error(`${file} has the version ${version}, the tag is ${tag}`);
process.exit(wrong.length === 0 ? 0 : 1);
