/**
 * Patterns as shapes: runs of characters and gaps. What a shape matches can be compared with what other shapes match;
 * a regular expression without one cannot.
 */

/** Takes one character, or any number of them. Characters in `except` are not taken. */
export interface Gap {
  readonly except: string;
  readonly takes: 'one' | 'many';
}

/** Texts and gaps, in order. */
export type Shape = readonly (string | Gap)[];

const anything: Gap = { except: '', takes: 'many' };
const anyCharacter: Gap = { except: '', takes: 'one' };
const oneOfSegment: Gap = { except: '/', takes: 'one' };
const restOfSegment: Gap = { except: '/', takes: 'many' };

/** Characters that mean something in a regular expression. */
const special = /[\\.+*?()|[\]{}^$]/;

/**
 * The shapes of which a pattern matches those names, and no others, that one of them matches; undefined where it has none.
 *
 *     shapesOf('keyMatch', '/a/*')            // ['/a/', anything]
 *     shapesOf('regexMatch', '^(GET|HEAD)$')  // ['GET'], ['HEAD']
 *     shapesOf('regexMatch', 'GET')           // [anything, 'GET', anything]
 *     shapesOf('regexMatch', '^[A-Z]+$')      // undefined
 */
export function shapesOf(name: string, pattern: string): readonly Shape[] | undefined {
  switch (name) {
    case 'keyMatch': {
      const star = pattern.indexOf('*');
      return [star < 0 ? [pattern] : [pattern.slice(0, star), anything]];
    }
    case 'keyMatch2':
      return pathShapes(pattern, colonVariable);
    case 'keyMatch3':
      return pathShapes(pattern, bracedVariable);
    case 'keyMatch4':
      return hasRepeatedVariable(pattern) ? undefined : pathShapes(pattern, bracedVariable);
    case 'keyMatch5': {
      const paths = pathShapes(pattern, bracedVariable);
      if (paths === undefined || pattern.includes('?')) return undefined;
      const beforeQuery = paths.map((shape) =>
        shape.map((part) => (typeof part === 'string' ? part : { ...part, except: `${part.except}?` })),
      );
      return [...beforeQuery, ...beforeQuery.map((shape) => [...shape, '?', anything])];
    }
    case 'globMatch':
      return globShapes(pattern);
    case 'regexMatch':
      return wordShapes(pattern);
    default:
      return undefined;
  }
}

/** Where the variable of a segment begins and ends. */
type FindVariable = (segment: string) => readonly [start: number, end: number] | undefined;

function colonVariable(segment: string): readonly [number, number] | undefined {
  const colon = segment.indexOf(':');
  return colon < 0 || colon === segment.length - 1 ? undefined : [colon, segment.length];
}

function bracedVariable(segment: string): readonly [number, number] | undefined {
  const [open, close] = [segment.indexOf('{'), segment.lastIndexOf('}')];
  return open < 0 || close < open + 2 ? undefined : [open, close + 1];
}

function pathShapes(pattern: string, variableIn: FindVariable): readonly Shape[] | undefined {
  const shape: (string | Gap)[] = [];
  for (const [index, segment] of pattern.split('/').entries()) {
    if (index > 0) shape.push('/');
    if (segment === '*' && index > 0) {
      shape.push(anything);
      continue;
    }
    const [start, end] = variableIn(segment) ?? [segment.length, segment.length];
    const [before, after] = [segmentText(segment.slice(0, start)), segmentText(segment.slice(end))];
    if (before === undefined || after === undefined) return undefined;
    shape.push(...before, ...(start < end ? [oneOfSegment, restOfSegment] : []), ...after);
  }
  return [shape];
}

/** A text in which a dot is any character, and `.*` any text. */
function segmentText(text: string): Shape | undefined {
  const shape: (string | Gap)[] = [];
  for (const [part] of text.matchAll(/\.\*|\.|[^.]+/g)) {
    if (part === '.*') shape.push(anything);
    else if (part === '.') shape.push(anyCharacter);
    else if (special.test(part)) return undefined;
    else shape.push(part);
  }
  return shape;
}

function hasRepeatedVariable(pattern: string): boolean {
  const variables = pattern.split('/').flatMap((segment) => {
    const found = bracedVariable(segment);
    return found === undefined ? [] : [segment.slice(...found)];
  });
  return new Set(variables).size < variables.length;
}

function globShapes(glob: string): readonly Shape[] | undefined {
  if (/[\\[\]{}]/.test(glob)) return undefined;
  if (glob === '**') return [[anything]];
  const above = glob.endsWith('/**') ? glob.slice(0, -3) : undefined;
  if (above !== undefined)
    return above.includes('*') || above.includes('?') ? undefined : [[above], [`${above}/`, anything]];
  if (glob.includes('**')) return undefined;
  const shape: (string | Gap)[] = [];
  for (const [part] of glob.matchAll(/\*|\?|[^*?]+/g)) {
    shape.push(part === '*' ? restOfSegment : part === '?' ? oneOfSegment : part);
  }
  return [shape];
}

/** `^(GET|HEAD)$`, `(GET)|(POST)`, `GET`, `.*`: alternatives of words, with anchors or without. */
function wordShapes(pattern: string): readonly Shape[] | undefined {
  const group = /^(\^?)\(([^()]*)\)(\$?)$/.exec(pattern);
  if (group !== null) {
    const [, begin, words = '', end] = group;
    return together(words.split('|').map((word) => wordShape(begin !== '', word, end !== '')));
  }
  const alternatives = pattern.split('|').map((alternative) => {
    const [, begin, grouped, bare, end] = /^(\^?)(?:\(([^()]*)\)|([^()^$]*))(\$?)$/.exec(alternative) ?? [];
    return begin === undefined ? undefined : wordShape(begin !== '', grouped ?? bare ?? '', end !== '');
  });
  return together(alternatives);
}

function wordShape(begins: boolean, word: string, ends: boolean): Shape | undefined {
  if (word === '.*') return [anything];
  if (word === '' || special.test(word)) return undefined;
  return [...(begins ? [] : [anything]), word, ...(ends ? [] : [anything])];
}

function together(shapes: readonly (Shape | undefined)[]): readonly Shape[] | undefined {
  const found = shapes.filter((shape) => shape !== undefined);
  return found.length === shapes.length ? found : undefined;
}
