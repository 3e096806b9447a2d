/**
 * A policy set for clients that decide in their own process: all that `@verdict/engine` compiles, as one JSON document.
 *
 *     {
 *       "format": 1,
 *       "set": "invoices",
 *       "version": "sha256:…",
 *       "revision": 7,                        where the set has revisions
 *       "engineVersion": "0.1.0",             of the engine that the service decides with
 *       "semantics": 2,                       the defaults that the files are read with
 *       "files": [{"path": "model.conf", "text": "…"}, …],    without policy tests
 *       "data": {"roles": [["g", "user:ana", "editor"], …], "entities": [{"type", "id", "attributes"}, …]}
 *     }
 *
 * `data` is there where the set has live data. Attributes that `local.omit` names are left out of the entities of files, whose text
 * is then written anew, and of live data. So `version` is the digest of what is here only if nothing is left out.
 *
 * Equal sets have equal documents on every replica: entries of live data are sorted.
 */
import { createHash } from 'node:crypto';
import { engineVersion } from '../../core/engine/engine-version.js';
import type { StoredEntity } from '../../core/manifest/entities.js';
import type { Json } from '../../core/request.js';
import { sortInSteps } from '../../core/steps.js';
import { fileRole, isVersioned } from '../policy-set-files.js';
import { fileText } from '../policy-set-texts.js';
import type { ServedPolicySet } from '../served-policy-set.js';

/** Characters of a text that are written between two pauses. */
const charactersPerStep = 65_536;
/** Entries that are written between two pauses. */
const entriesPerStep = 200;

export interface BundleText {
  /** UTF-8. */
  readonly body: Buffer;
  /** The SHA-256 of the body, in hexadecimal digits. */
  readonly digest: string;
}

/** The document, pausing every few milliseconds. */
export function* localBundleInSteps(set: ServedPolicySet): Generator<void, BundleText> {
  const { name, version, revision, compiled, files } = set;
  const parts = new Parts();
  const head = { format: 1, set: name, version, ...(revision !== undefined && { revision }) };
  parts.add(`${JSON.stringify({ ...head, engineVersion, semantics: compiled.semantics }).slice(0, -1)},"files":[`);
  const omitted = omittedOf(compiled.manifest.local?.omit ?? []);
  let comma = '';
  for (const { path, bytes } of files.filter((file) => isVersioned(file.path))) {
    parts.add(`${comma}{"path":${JSON.stringify(path)},"text":`);
    const isWrittenAnew = omitted.size > 0 && fileRole(path) === 'entities';
    yield* parts.addText(isWrittenAnew ? yield* entitiesOfFiles(set, omitted) : fileText(bytes));
    parts.add('}');
    comma = ',';
  }
  parts.add(']');
  const { data } = compiled;
  if (data !== undefined && data.size > 0) {
    parts.add(',"data":{"roles":[');
    yield* parts.addList(yield* sorted(data.roles(), JSON.stringify));
    parts.add('],"entities":[');
    yield* parts.addList(yield* sorted(data.entities(), (entity) => JSON.stringify(without(entity, omitted))));
    parts.add(']}');
  }
  parts.add('}');
  return parts.whole();
}

/** Names of attributes by the type of their entity. */
type Omitted = ReadonlyMap<string, ReadonlySet<string>>;

function omittedOf(names: readonly string[]): Omitted {
  const omitted = new Map<string, Set<string>>();
  for (const name of names) {
    const dot = name.lastIndexOf('.');
    const type = name.slice(0, dot);
    omitted.set(type, (omitted.get(type) ?? new Set()).add(name.slice(dot + 1)));
  }
  return omitted;
}

function without({ type, id, attributes }: StoredEntity, omitted: Omitted): Json {
  const names = omitted.get(type);
  const kept = Object.entries(attributes).filter(([name]) => names?.has(name) !== true);
  return { type, id, attributes: Object.fromEntries(kept) };
}

/** The list of entities without what is left out; JSON, which YAML is a superset of. */
function* entitiesOfFiles({ compiled }: ServedPolicySet, omitted: Omitted): Generator<void, string> {
  const ofData = compiled.manifest.data?.entities;
  const lines: string[] = [];
  for (const entity of compiled.compiled.entities) {
    // No file has an entity of a type that is live data.
    if (ofData?.has(entity.type) === true) continue;
    lines.push(JSON.stringify(without(entity, omitted)));
    if (lines.length % entriesPerStep === 0) yield;
  }
  return `[\n${lines.join(',\n')}\n]\n`;
}

function* sorted<Entry>(entries: Iterable<Entry>, write: (entry: Entry) => string): Generator<void, readonly string[]> {
  const texts: string[] = [];
  for (const entry of entries) {
    texts.push(write(entry));
    if (texts.length % entriesPerStep === 0) yield;
  }
  return yield* sortInSteps(texts);
}

/** The parts of a long text, as bytes. */
class Parts {
  private readonly parts: Buffer[] = [];
  private readonly hash = createHash('sha256');

  add(text: string): void {
    const part = Buffer.from(text);
    this.parts.push(part);
    this.hash.update(part);
  }

  /** A text as JSON. A pair of surrogates that is cut apart is written as two escapes, which are read as the pair. */
  *addText(text: string): Generator<void> {
    this.add('"');
    for (let at = 0; at < text.length; at += charactersPerStep) {
      this.add(JSON.stringify(text.slice(at, at + charactersPerStep)).slice(1, -1));
      yield;
    }
    this.add('"');
  }

  *addList(items: readonly string[]): Generator<void> {
    for (let at = 0; at < items.length; at += entriesPerStep) {
      this.add(`${at === 0 ? '' : ','}${items.slice(at, at + entriesPerStep).join()}`);
      yield;
    }
  }

  whole(): BundleText {
    return { body: Buffer.concat(this.parts), digest: this.hash.digest('hex') };
  }
}
