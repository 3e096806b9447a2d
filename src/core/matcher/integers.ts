/** The bitwise operators: Go converts the numbers to 64-bit integers and back. */

/** `int64(value)` as on amd64: fractions are cut, a value that does not fit becomes the smallest integer. */
function toInt64(value: number): bigint {
  if (!Number.isFinite(value) || value >= 2 ** 63 || value < -(2 ** 63)) return -(2n ** 63n);
  return BigInt(Math.trunc(value));
}

function toUint64(value: number): bigint {
  if (value >= 2 ** 63 && value < 2 ** 64) return BigInt(Math.trunc(value));
  return BigInt.asUintN(64, toInt64(value));
}

export const bitwiseAnd = (left: number, right: number): number => Number(toInt64(left) & toInt64(right));
export const bitwiseOr = (left: number, right: number): number => Number(toInt64(left) | toInt64(right));
export const bitwiseXor = (left: number, right: number): number => Number(toInt64(left) ^ toInt64(right));
export const bitwiseNot = (value: number): number => Number(~toInt64(value));

export function shiftLeft(left: number, right: number): number {
  const by = toUint64(right);
  return by > 63n ? 0 : Number(BigInt.asUintN(64, toUint64(left) << by));
}

export function shiftRight(left: number, right: number): number {
  const by = toUint64(right);
  return by > 63n ? 0 : Number(toUint64(left) >> by);
}
