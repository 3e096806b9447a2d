export interface DearestMix {
  readonly name: string;
  readonly model: string;
  readonly rules: string;
  /** What makes it dear is found by look-ups: the budget does not end it. */
  readonly suffices: boolean;
  readonly request: readonly unknown[];
  readonly manifest?: { readonly [key: string]: never };
}

export const dearestMixes: readonly DearestMix[];
