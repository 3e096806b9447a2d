/** Casbin's functions for patterns other than paths: regular expressions, globs and addresses. */

import { quote } from '../../quote.js';
import { type FunctionDefinition, FunctionError } from './function-definition.js';
import { isValidGlob, matchGlob } from './glob.js';
import { isInRange, parseIpAddress, parseIpRange, stepsToParseAddress } from './ip-address.js';
import { patternFunction, stepsToRead } from './pattern-function.js';
import { compileRegularExpression, stepsToCompile } from './regular-expression.js';

export const textFunctions: readonly FunctionDefinition[] = [
  patternFunction(
    {
      name: 'regexMatch',
      origin: 'casbin',
      summary: 'True when the regular expression (RE2) is found in the name, anywhere unless `^` and `$` tie it.',
      example: 'regexMatch("/invoices/42", "^/invoices/[0-9]+$") // true',
    },
    (pattern) => compileRegularExpression(pattern).test,
    stepsToCompile,
  ),
  {
    ...patternFunction(
      {
        name: 'globMatch',
        origin: 'casbin',
        summary: 'Matches a glob: `*` and `?` within a segment, `/**/` any segments, `[a-z]`, `{a,b}`.',
        example: 'globMatch("/docs/2026/plan.pdf", "/docs/**/*.pdf") // true',
      },
      (glob) => {
        if (!isValidGlob(glob)) throw new FunctionError(`globMatch: the pattern ${quote(glob)} is broken`);
        return (name, meter) => matchGlob(glob, name, meter);
      },
      stepsToRead,
    ),
    // Not through `prepare`: a broken glob still matches some names, and the reference answers for those.
    call: ([name, glob], _, meter) => matchGlob(glob as string, name as string, meter),
  },
  patternFunction(
    {
      name: 'ipMatch',
      origin: 'casbin',
      summary: 'True when the address is the other one, or lies in the range.',
      example: 'ipMatch("192.168.2.7", "192.168.2.0/24") // true',
    },
    (pattern) => {
      const range = parseIpRange(pattern);
      if (range === undefined) throw new FunctionError(`ipMatch: ${quote(pattern)} is neither an address nor a range`);
      return (name, meter) => {
        meter.spend(stepsToParseAddress(name));
        const address = parseIpAddress(name);
        if (address === undefined) throw new FunctionError(`ipMatch: ${quote(name)} is no address`);
        return isInRange(address, range);
      };
    },
    stepsToParseAddress,
    ['address', 'range'],
  ),
];
