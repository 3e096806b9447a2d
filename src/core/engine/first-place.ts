/** The first place in a sorted list whose item is not below the wanted one; `length` if there is none. */
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
