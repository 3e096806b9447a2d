/**
 * Fetches the protos in this folder, with what they import and the licence of each repository, as `sources.json` says, and
 * writes their checksums.
 *
 *     node third_party/fetch.mjs                    from GitHub
 *     node third_party/fetch.mjs --clones ~/clones  from git clones, named as the folders here
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const sources = JSON.parse(readFileSync(join(here, 'sources.json'), 'utf8'));
const clones = process.argv[2] === '--clones' ? process.argv[3] : undefined;

/** Which folder has a proto, by the beginning of its path. Those of google/protobuf come with protobufjs. */
const folders = [
  ['envoy/', 'envoy'],
  ['udpa/', 'xds'],
  ['xds/', 'xds'],
  ['google/protobuf/', undefined],
  ['google/', 'googleapis'],
  ['validate/', 'protoc-gen-validate'],
  ['grpc/', 'grpc-proto'],
];

const wanted = ['envoy/service/auth/v3/external_auth.proto', 'grpc/health/v1/health.proto'];
const files = new Map();
for (let path = wanted.pop(); path !== undefined; path = wanted.pop()) {
  const [, folder] = folders.find(([beginning]) => path.startsWith(beginning)) ?? [];
  if (folder === undefined || files.has(`${folder}/${path}`)) continue;
  const text = await read(folder, path);
  files.set(`${folder}/${path}`, text);
  wanted.push(...[...text.matchAll(/^import (?:public )?"([^"]+)";/gm)].map(([, name]) => name));
}
for (const { folder } of sources) files.set(`${folder}/LICENSE`, await read(folder, 'LICENSE'));

for (const { folder } of sources) rmSync(join(here, folder), { recursive: true, force: true });
const checksums = {};
for (const [file, text] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
  mkdirSync(dirname(join(here, file)), { recursive: true });
  writeFileSync(join(here, file), text);
  checksums[file] = createHash('sha256').update(text).digest('hex');
}
writeFileSync(join(here, 'checksums.json'), `${JSON.stringify(checksums, null, 2)}\n`);
console.log(`${files.size} files`);

async function read(folder, path) {
  const { repository, ref } = sources.find((each) => each.folder === folder);
  if (clones !== undefined) {
    return execFileSync('git', ['-C', join(clones, folder), 'show', `${ref}:${path}`], { encoding: 'utf8' });
  }
  const url = `https://raw.githubusercontent.com/${repository}/${ref}/${path}`;
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} answers ${answer.status}`);
  return answer.text();
}
