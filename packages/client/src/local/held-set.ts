/** A policy set as a client has it: read from a bundle, whole or not at all. */
import {
  type CompileOptions,
  compilePolicySetInSteps,
  currentSemantics,
  engineVersion,
  type LiveEntries,
  type PolicySet,
} from '@verdict/engine';
import { faultInSignature, type trustedKeys } from './bundle-signature.js';

/** A set that decides. */
export interface HeldSet {
  readonly set: PolicySet;
  readonly revision: number | undefined;
  /** The engine that the service decides with. */
  readonly serviceEngine: string;
  /** The `ETag` that it came with. */
  readonly etag: string | null;
  /** What records say of it: JSON, with a comma behind it. */
  readonly recordHead: string;
}

/** What was sent is not what it should be. */
export class RefusedBundle extends Error {
  override readonly name = 'RefusedBundle';
}

interface Bundle {
  readonly format: number;
  readonly set: string;
  readonly version: string;
  readonly revision?: number;
  readonly engineVersion: string;
  readonly semantics: number;
  readonly files: readonly { readonly path: string; readonly text: string }[];
  readonly data?: LiveEntries;
}

/**
 * Verifies and compiles a bundle, between pauses in which others run.
 *
 * @param keys whose signature it must have; undefined: it is not looked at
 * @throws RefusedBundle
 */
export async function readBundle(
  body: Uint8Array<ArrayBuffer>,
  { name, signature, etag }: { readonly name: string; readonly signature: string | null; readonly etag: string | null },
  keys: ReturnType<typeof trustedKeys> | undefined,
): Promise<HeldSet> {
  const fault = keys === undefined ? undefined : await faultInSignature(body, signature, keys);
  if (fault !== undefined) throw new RefusedBundle(fault);
  const bundle = bundleIn(body);
  if (bundle.format !== 1) throw new RefusedBundle(`its format is ${bundle.format}, and 1 is known here`);
  if (bundle.set !== name) throw new RefusedBundle('it is another policy set');
  if (!(bundle.semantics >= 1 && bundle.semantics <= currentSemantics)) {
    throw new RefusedBundle('its files are read as a newer engine does: update @verdict/engine');
  }
  const set = await compiled(bundle);
  if (set.version !== bundle.version) throw new RefusedBundle('it is another version than it says');
  const { version, revision } = bundle;
  const head = JSON.stringify({ policySet: name, policyVersion: version, engineVersion });
  return Object.freeze({
    set,
    revision,
    serviceEngine: bundle.engineVersion,
    etag,
    recordHead: `${head.slice(1, -1)},`,
  });
}

function bundleIn(body: Uint8Array): Bundle {
  let value: Partial<Record<keyof Bundle, unknown>>;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    throw new RefusedBundle('it is not JSON', { cause });
  }
  const isText = (one: unknown): one is string => typeof one === 'string';
  const isFile = (file: { path?: unknown; text?: unknown } | null) => isText(file?.path) && isText(file?.text);
  const { version, revision, files } = value ?? {};
  const isBundle =
    isText(version) &&
    isText(value.engineVersion) &&
    (revision === undefined || Number.isSafeInteger(revision)) &&
    Array.isArray(files) &&
    files.every(isFile);
  if (!isBundle) throw new RefusedBundle('it is no bundle of a policy set');
  return value as unknown as Bundle;
}

/** Longest time that it compiles without a pause, in milliseconds. */
const stepMs = 5;

async function compiled({ version, semantics, files, data }: Bundle): Promise<PolicySet> {
  const texts = files.map(({ path, text }) => ({ file: path, text }));
  const named = (...names: string[]) => texts.find(({ file }) => names.includes(file));
  const [model, manifest] = [named('model.conf'), named('policy-set.yaml')];
  const [entities, schema] = [named('entities.yaml', 'entities.json'), named('schema.yaml')];
  if (model === undefined) throw new RefusedBundle('it has no model.conf');
  const options: CompileOptions = {
    model,
    rules: texts.filter(({ file }) => file.endsWith('.csv')),
    strict: true,
    semantics: semantics as NonNullable<CompileOptions['semantics']>,
    ...(manifest !== undefined && { manifest }),
    ...(entities !== undefined && { entities }),
    ...(schema !== undefined && { schema }),
  };
  const set = await inPauses(() => compilePolicySetInSteps(data === undefined ? options : { ...options, data }));
  const { local } = set.manifest;
  if (local === undefined) throw new RefusedBundle('its manifest does not let it be decided by here');
  // The version is that of the whole set, of which this is a part: it cannot be computed here.
  if (local.omit.length === 0 || set.version === version) return set;
  return inPauses(() => compilePolicySetInSteps({ ...options, version, ...(data !== undefined && { data }) }));
}

async function inPauses(start: () => Generator<void, PolicySet>): Promise<PolicySet> {
  try {
    const steps = start();
    let until = performance.now() + stepMs;
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done === true) return step.value;
      if (performance.now() < until) continue;
      await new Promise((resolve) => setTimeout(resolve, 0));
      until = performance.now() + stepMs;
    }
  } catch (cause) {
    throw new RefusedBundle(`it does not load: ${(cause as Error).message}`, { cause });
  }
}
