/** The first place of a sorted list whose item has reached what is looked for; `length` where none has. */
export function firstPlace(length: number, hasReached: (place: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (hasReached(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
