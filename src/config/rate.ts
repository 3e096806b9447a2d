/** A steady rate and a burst. */
export interface Rate {
  readonly points: number;
  readonly seconds: number;
  /** Most points within one period; at least `points`. */
  readonly burst: number;
}

const secondsOf = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

/**
 * Reads a rate; undefined for any other text.
 *
 *     parseRate('1000/s,burst=2000') // { points: 1000, seconds: 1, burst: 2000 }
 *     parseRate('30/m')              // { points: 30, seconds: 60, burst: 30 }
 */
export function parseRate(text: string): Rate | undefined {
  const match = /^([1-9]\d{0,8})\/([smhd])(?:,burst=([1-9]\d{0,8}))?$/.exec(text);
  if (match === null) return undefined;
  const points = Number(match[1]);
  const burst = match[3] === undefined ? points : Number(match[3]);
  return burst < points ? undefined : { points, seconds: secondsOf[match[2] as keyof typeof secondsOf], burst };
}
