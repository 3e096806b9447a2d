/** A policy set's bytes as the texts that the compiler takes. */

import type { NamedText } from '../core/manifest/yaml-document.js';
import type { CompileOptions } from '../core/policy/compile.js';
import { type FileRole, fileRole, type PolicyFile } from './policy-set-files.js';

export function compileOptions(files: readonly PolicyFile[]): CompileOptions {
  const [model] = textsOf(files, 'model');
  const [manifest] = textsOf(files, 'manifest');
  const [entities] = textsOf(files, 'entities');
  const [schema] = textsOf(files, 'schema');
  return {
    model: model ?? { file: 'model.conf', text: '' },
    rules: textsOf(files, 'rules'),
    strict: true,
    ...(manifest !== undefined && { manifest }),
    ...(entities !== undefined && { entities }),
    ...(schema !== undefined && { schema }),
  };
}

export function textsOf(files: readonly PolicyFile[], role: FileRole): readonly NamedText[] {
  return files
    .filter(({ path }) => fileRole(path) === role)
    .map(({ path, bytes }) => ({ file: path, text: fileText(bytes) }));
}

/** The text as it is, a byte order mark included: the version is of the bytes, wherever it is computed. */
export function fileText(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
}
