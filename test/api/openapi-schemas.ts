/** The schemas of an OpenAPI document, for tests that hold for all of them. */
export interface SchemaAt {
  readonly at: string;
  // biome-ignore lint/suspicious/noExplicitAny: a schema of any form
  readonly schema: any;
}

/** Every schema of the document, with the schemas within it; what an example holds is not one. */
export function* schemasIn(part: unknown, at: string): Iterable<SchemaAt> {
  if (typeof part !== 'object' || part === null) return;
  for (const [name, value] of Object.entries(part)) {
    if (name === 'examples' || name === 'example') continue;
    const place = `${at}/${name}`;
    if (at === '/components/schemas' || name === 'schema') yield* schemaAndParts(value, place);
    else yield* schemasIn(value, place);
  }
}

// biome-ignore lint/suspicious/noExplicitAny: a schema of any form
function* schemaAndParts(schema: any, at: string): Iterable<SchemaAt> {
  yield { at, schema };
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    yield* schemaAndParts(property, `${at}/properties/${name}`);
  }
  if (schema.items !== undefined) yield* schemaAndParts(schema.items, `${at}/items`);
  if (typeof schema.additionalProperties === 'object') {
    yield* schemaAndParts(schema.additionalProperties, `${at}/additionalProperties`);
  }
  for (const choice of ['anyOf', 'oneOf', 'allOf']) {
    for (const [i, each] of (schema[choice] ?? []).entries()) yield* schemaAndParts(each, `${at}/${choice}/${i}`);
  }
}
