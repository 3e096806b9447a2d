/** The examples of a page of `docs/` that are files: their name stands behind the language. */
import { readFileSync } from 'node:fs';

/** Texts by the names of their files. */
export function examplesOf(page: string): ReadonlyMap<string, string> {
  const text = readFileSync(new URL(`../../docs/${page}`, import.meta.url), 'utf8');
  const examples = [...text.matchAll(/^```\w+ (\S+)\n([\s\S]*?)^```/gm)];
  return new Map(examples.map(([, name, example]) => [name!, example!]));
}
