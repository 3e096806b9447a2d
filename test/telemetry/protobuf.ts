/** Reads protobuf by a description of the messages, as far as OTLP needs it: what a receiver does with the bytes that it gets. */

type Kind =
  | 'message'
  | 'string'
  | 'bytes'
  | 'hex'
  | 'varint'
  | 'fixed64'
  | 'fixed32'
  | 'double'
  | 'packedFixed64'
  | 'packedDouble';

export interface Field {
  readonly name: string;
  readonly kind: Kind;
  readonly of?: () => Message;
  readonly isList?: boolean;
}

export type Message = { readonly [number: number]: Field };

// biome-ignore lint/suspicious/noExplicitAny: what a message holds, its description says
export type Decoded = Record<string, any>;

/** Members that are not in the bytes are left out; an unknown field or a wrong wire type throws. */
export function decodeProtobuf(bytes: Buffer, message: Message): Decoded {
  const decoded: Decoded = {};
  for (let at = 0; at < bytes.length; ) {
    let tag: bigint;
    [tag, at] = varint(bytes, at);
    const field = message[Number(tag >> 3n)];
    const wire = Number(tag & 7n);
    let payload: bigint | Buffer;
    if (wire === 0) [payload, at] = varint(bytes, at);
    else {
      let length = wire === 1 ? 8n : 4n;
      if (wire === 2) [length, at] = varint(bytes, at);
      else if (wire !== 1 && wire !== 5) throw new Error(`wire type ${wire}`);
      payload = bytes.subarray(at, at + Number(length));
      if (payload.length !== Number(length)) throw new Error('the message is cut off');
      at += Number(length);
    }
    if (field === undefined) throw new Error(`field ${tag >> 3n} is not described`);
    const value = payloadOf(field, payload);
    if (field.isList && !Array.isArray(value)) {
      decoded[field.name] ??= [];
      decoded[field.name].push(value);
    } else decoded[field.name] = value;
  }
  return decoded;
}

function payloadOf({ kind, of, name }: Field, payload: bigint | Buffer): unknown {
  if (typeof payload === 'bigint') {
    if (kind !== 'varint') throw new Error(`${name} is a varint`);
    return Number(BigInt.asIntN(64, payload));
  }
  switch (kind) {
    case 'message':
      return decodeProtobuf(payload, of!());
    case 'string':
      return payload.toString();
    case 'hex':
      return payload.toString('hex');
    case 'bytes':
      return payload;
    case 'fixed64':
      return String(payload.readBigUInt64LE());
    case 'fixed32':
      return payload.readUInt32LE();
    case 'double':
      return payload.readDoubleLE();
    case 'packedFixed64':
      return Array.from({ length: payload.length / 8 }, (_, i) => String(payload.readBigUInt64LE(i * 8)));
    case 'packedDouble':
      return Array.from({ length: payload.length / 8 }, (_, i) => payload.readDoubleLE(i * 8));
    case 'varint':
      throw new Error(`${name} is no varint`);
  }
}

function varint(bytes: Buffer, start: number): [bigint, number] {
  let value = 0n;
  for (let at = start, shift = 0n; ; at++, shift += 7n) {
    const byte = bytes[at];
    if (byte === undefined) throw new Error('the message is cut off');
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return [value, at + 1];
  }
}
