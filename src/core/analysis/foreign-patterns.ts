/** Patterns written in the language of another function than the one that reads them. */

export interface Misreading {
  /** Goes on from the value: `"/x/:id" …`. */
  readonly message: string;
  readonly hint: string;
}

type Language = readonly (readonly [form: RegExp, message: string, hint: string])[];

const colonName = /(?:^|\/):\w/;
const bracedName = /\{\w+\}/;
const regular = /\.\*|^\^|\\[dwsb]|\[\^?[a-z0-9]-[a-z0-9]\]|[^*]\$$/i;

const languages: Readonly<Record<string, Language>> = {
  keyMatch: [
    [colonName, 'keyMatch reads :name as it stands, not as any segment', 'keyMatch2 reads :name as any segment'],
    [bracedName, 'keyMatch reads {name} as it stands, not as any segment', 'keyMatch3 reads {name} as any segment'],
    [regular, 'keyMatch reads no regular expressions', 'regexMatch does; in keyMatch * is any rest'],
    [
      /\*[^*]/,
      'keyMatch reads no further than the first *, so that whatever stands behind it is ignored',
      'end it with the *, or match segments with keyMatch2 and :name',
    ],
  ],
  keyMatch2: [
    [bracedName, 'keyMatch2 does not read {name} as any segment', 'write :name, or match with keyMatch3'],
    [/^\^|[^*]\$$/, 'keyMatch2 ties a pattern to both ends by itself', 'leave out ^ and $, or match with regexMatch'],
  ],
  keyMatch3: [[colonName, 'keyMatch3 reads :name as it stands', 'write {name}, or match with keyMatch2']],
  keyMatch4: [[colonName, 'keyMatch4 reads :name as it stands', 'write {name}, or match with keyMatch2']],
  keyMatch5: [[colonName, 'keyMatch5 reads :name as it stands', 'write {name}, or match with keyMatch2']],
  regexMatch: [
    [
      /(?:^|[^\\.)\]}*+?])\/\*/,
      'in a regular expression /* is any number of slashes, and not any rest',
      'write /.*, tied by ^ and $, or match with keyMatch2',
    ],
    [colonName, 'a regular expression reads :name as it stands', 'write [^/]+, or match with keyMatch2'],
    [/\{[A-Za-z]\w*\}/, 'a regular expression reads {name} as it stands', 'write [^/]+, or match with keyMatch3'],
  ],
  globMatch: [
    [colonName, 'globMatch reads :name as it stands', 'write *, or match with keyMatch2'],
    [
      /^\^|\(\.\*\)|\/\.\*|^\.\*$/,
      'globMatch reads no regular expressions',
      'regexMatch does; in globMatch * is any name',
    ],
  ],
};

/**
 * How the function misreads a pattern of another function; undefined if the pattern looks like its own.
 *
 *     foreignPattern('keyMatch', '/docs/:id')   // keyMatch reads :name as it stands …
 *     foreignPattern('keyMatch2', '/docs/:id')  // undefined
 */
export function foreignPattern(name: string, pattern: string): Misreading | undefined {
  const found = languages[name]?.find(([form]) => form.test(pattern));
  return found === undefined ? undefined : { message: found[1], hint: found[2] };
}
