/** Hints for unknown functions: a typing slip, or a function that the author's program registers with Casbin. */
import { closest } from '../closest.js';
import { type Environment, languageFunctions, quantifiers } from './environment.js';

/** What to use instead of functions with common names. The first entry that fits counts. */
const nearest: readonly (readonly [name: RegExp, instead: string])[] = [
  [/glob/i, 'globMatch(name, pattern)'],
  [/reg_?ex|regexp/i, 'regexMatch(name, pattern)'],
  [/prefix|starts?_?with/i, 'startsWith(text, beginning)'],
  [/suffix|ends?_?with/i, 'endsWith(text, end)'],
  [/[Cc]idr|CIDR|[Ss]ubnet|(^|_)ip|Ip[A-Z]|IP/, 'ipMatch(address, range)'],
  [/time|hour|date|day|expire/i, 'now(), timeOfDay(zone) or betweenHours(zone, from, to)'],
  [/role|group|member|admin/i, 'g(r.sub, role), or hasRole(r.sub.roles, role)'],
  [/owner|same|equal/i, 'a comparison such as r.obj.owner == r.sub.id'],
  [/includes|any_?of|(^|_)in($|_)|inlist/i, 'in, such as r.act in ("read", "list"), or contains(whole, part)'],
  [/len(gth)?$|count/i, 'size(value), or count(list, condition)'],
  [/parse|to_?(int|float|num)|^int$|^float$/i, 'number(value)'],
  [/to_?(low|upp)er|upper|fold/i, 'lower(text)'],
  [/exists?$|isset|defined|null|empty/i, 'has(r.sub.department)'],
  [/key|path|url|uri|route|match/i, 'keyMatch2(name, pattern)'],
];

/** Returns a hint; undefined if no name is unknown. */
export function functionHint(environment: Environment, name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  const { roles, customFunctions, functions } = environment;
  const known = [
    ...roles.keys(),
    ...customFunctions.keys(),
    ...functions.keys(),
    ...languageFunctions,
    ...quantifiers,
    'eval',
  ];
  // Names of three letters are near to too many others, such as "now" and "not".
  const slip = name.length > 3 ? closest(name, known) : known.find((each) => each === name.toLowerCase());
  if (slip !== undefined) return `did you mean "${slip}"?`;
  if (/^g\d*$/.test(name)) return `add ${name} = _, _ under [role_definition], or take one that is there`;
  const instead = nearest.find(([form]) => form.test(name))?.[1];
  const near = instead === undefined ? '' : `the nearest built-in one is ${instead}; `;
  return `${near}say it with built-in functions or as a condition; a program that embeds the engine gives its own as "functions": docs/functions.md, Own functions`;
}
