/** `google.protobuf.Struct` and JSON. */
import type { Json } from '../../../core/request.js';
import type { ProtoStruct, ProtoValue } from './check-protocol.js';

/** Deepest nesting that is read. What is deeper is left out. */
const deepest = 32;

export function jsonOfStruct({ fields = {} }: ProtoStruct, depth = 1): Record<string, Json> {
  const json: Record<string, Json> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (name === '__proto__') continue;
    const member = jsonOfValue(value, depth);
    if (member !== undefined) json[name] = member;
  }
  return json;
}

function jsonOfValue(value: ProtoValue, depth: number): Json | undefined {
  // A member that was not sent is inherited from the prototype of its message.
  if (Object.hasOwn(value, 'stringValue')) return value.stringValue;
  if (Object.hasOwn(value, 'numberValue')) return value.numberValue;
  if (Object.hasOwn(value, 'boolValue')) return value.boolValue;
  if (Object.hasOwn(value, 'nullValue')) return null;
  if (depth >= deepest) return undefined;
  if (value.structValue) return jsonOfStruct(value.structValue, depth + 1);
  return value.listValue?.values?.map((item) => jsonOfValue(item, depth + 1) ?? null);
}

export function structOf(json: Readonly<Record<string, Json | undefined>>): ProtoStruct {
  const fields: Record<string, ProtoValue> = {};
  for (const [name, value] of Object.entries(json)) if (value !== undefined) fields[name] = protoOf(value);
  return { fields };
}

function protoOf(json: Json): ProtoValue {
  switch (typeof json) {
    case 'string':
      return { stringValue: json };
    case 'number':
      return { numberValue: json };
    case 'boolean':
      return { boolValue: json };
    default:
      if (json === null) return { nullValue: 0 };
      if (Array.isArray(json)) return { listValue: { values: json.map(protoOf) } };
      return { structValue: structOf(json as Record<string, Json>) };
  }
}
