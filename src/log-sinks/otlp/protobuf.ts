/** The little of protobuf's encoding that a request of logs needs (https://protobuf.dev/programming-guides/encoding/). */

/** A field whose value is a message, or bytes. */
export function lengthDelimited(field: number, value: Buffer): Buffer {
  return Buffer.concat([varint(field * 8 + 2), varint(value.length), value]);
}

export function textField(field: number, text: string): Buffer {
  return lengthDelimited(field, Buffer.from(text));
}

/** @param value an integer from 0 to 2^53 - 1 */
export function varintField(field: number, value: number): Buffer {
  return Buffer.concat([varint(field * 8), varint(value)]);
}

export function fixed64(field: number, value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(9);
  bytes[0] = field * 8 + 1;
  bytes.writeBigUInt64LE(value, 1);
  return bytes;
}

export function fixed32(field: number, value: number): Buffer {
  const bytes = Buffer.allocUnsafe(5);
  bytes[0] = field * 8 + 5;
  bytes.writeUInt32LE(value, 1);
  return bytes;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  // Beyond 32 bits operators on bits are wrong.
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}
