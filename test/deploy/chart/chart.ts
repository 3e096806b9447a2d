/**
 * The Helm chart: what it renders for the value files in its folder `ci`. Rendered objects lie in `rendered`, so that they are
 * tested where Helm is not installed, too; `npm run proofs -- helm` writes and compares them.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments } from 'yaml';

export const chart = fileURLToPath(new URL('../../../deploy/helm/verdict', import.meta.url));
export const valueFiles: readonly string[] = readdirSync(join(chart, 'ci')).sort();

/** Where it is missing, tests that render are skipped, unless `VERDICT_TEST_HELM=required`: it takes minutes to build. */
export const hasHelm =
  process.env.VERDICT_TEST_HELM === 'required' || spawnSync('helm', ['version'], { stdio: 'ignore' }).status === 0;
if (!hasHelm) console.warn('helm is not installed: the chart is not rendered; its objects of the last time are tested');

export function helm(args: readonly string[], values: object = {}): SpawnSyncReturns<string> {
  const input = JSON.stringify(values);
  const ran = spawnSync('helm', [...args, '--values', '-'], { cwd: chart, encoding: 'utf8', input });
  if (ran.error !== undefined) throw ran.error;
  return ran;
}

/** Renders a value file as the release `verdict` in the namespace `access`. */
export function renderFile(valueFile: string): SpawnSyncReturns<string> {
  return helm(['template', 'verdict', chart, '--namespace', 'access', '--values', `ci/${valueFile}`]);
}

/** Renders values of which each is named by its path, `data.size`. */
export function renderValues(values: Readonly<Record<string, unknown>>): SpawnSyncReturns<string> {
  return helm(['template', 'verdict', chart, '--namespace', 'access'], nested(values));
}

export function nested(values: Readonly<Record<string, unknown>>): object {
  const root: Record<string, unknown> = {};
  for (const [path, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const names = path.split('.');
    const last = names.pop()!;
    let part = root;
    for (const name of names) {
      part[name] ??= {};
      part = part[name] as Record<string, unknown>;
    }
    part[last] = value;
  }
  return root;
}

/** What the rendered objects depend on, beside the value file. */
export function digestOfChart(valueFile: string): string {
  const templates = readdirSync(join(chart, 'templates')).map((name) => join('templates', name));
  const hash = createHash('sha256');
  for (const file of ['Chart.yaml', 'values.yaml', ...templates.sort(), join('ci', valueFile)]) {
    hash.update(`${file}\0${readFileSync(join(chart, file), 'utf8')}\0`);
  }
  return hash.digest('hex');
}

export function renderedFile(valueFile: string): string {
  return fileURLToPath(new URL(`rendered/${valueFile}`, import.meta.url));
}

// biome-ignore lint/suspicious/noExplicitAny: objects of many kinds, whose shape the schemas of Kubernetes say
export type KubernetesObject = Record<string, any>;

export function objectsIn(text: string): readonly KubernetesObject[] {
  const documents = parseAllDocuments(text);
  for (const { errors } of documents) if (errors.length > 0) throw errors[0];
  return documents.map((document) => document.toJS()).filter((object) => object !== null);
}

export function objectsOf(valueFile: string): readonly KubernetesObject[] {
  return objectsIn(readFileSync(renderedFile(valueFile), 'utf8'));
}

export function workloadOf(objects: readonly KubernetesObject[]): KubernetesObject {
  return objects.find(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet')!;
}

/** The values that docs/kubernetes.md shows. */
export function shownValues(): readonly object[] {
  const page = readFileSync(new URL('../../../docs/kubernetes.md', import.meta.url), 'utf8');
  return [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text]) => parse(text!));
}
