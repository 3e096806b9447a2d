/**
 * A name as one step of a JSON pointer (RFC 6901, section 3), without the slash before it.
 *
 *     pointerStep('a/b~c')   // 'a~1b~0c'
 */
export function pointerStep(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}

/** The name that a step stands for: `nameOfStep('a~1b~0c')` is `a/b~c`. */
export function nameOfStep(step: string): string {
  return step.replaceAll('~1', '/').replaceAll('~0', '~');
}
