/** Faults in values of rules that the author hardly meant, however they are read. */
import { isSpace } from '../casbin/white-space.js';
import { quote } from '../quote.js';

export interface ValueFault {
  readonly code: 'comment_in_value' | 'space_in_value' | 'unseen_in_value' | 'quotes_in_value' | 'lookalike_in_value';
  readonly message: string;
  readonly hint: string;
}

/** Returns the first fault, so that one slip is reported once. */
export function valueFault(value: string): ValueFault | undefined {
  if (/^[\x21-\x7e]*$/.test(value) && !/^['"`]|['"`]$/.test(value)) return undefined;
  if (/\s(?:#|\/\/\s)/.test(value)) {
    return {
      code: 'comment_in_value',
      message: `${quote(value)}: what looks like a comment is a part of the value`,
      hint: 'a comment is a line of its own, beginning with #',
    };
  }
  const [begins, ends] = [isBlank(value, 0), isBlank(value, value.length - 1)];
  if (value !== '' && (begins || ends)) {
    return {
      code: 'space_in_value',
      message: `${quote(value)} ${begins ? 'begins with' : 'ends in'} a space, which is a part of the value`,
      hint: 'other implementations of Casbin trim it; leave no blank before the comma, nor inside the quotes',
    };
  }
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(value)) {
    return {
      code: 'unseen_in_value',
      message: `${quote(value)} holds a character that nobody sees`,
      hint: 'type the value again',
    };
  }
  if (value.length > 1 && /^(['"`]).*\1$|^[“”„].*[“”]$|^[‘’‚].*[‘’]$/s.test(value)) {
    return {
      code: 'quotes_in_value',
      message: `the quotes around ${quote(value)} are a part of the value`,
      hint: 'leave them out; a value with a comma is put in plain double quotes, with no blank around them',
    };
  }
  if (isLookalike(value)) {
    return {
      code: 'lookalike_in_value',
      message: `${quote(value)} has letters that look like others and are not`,
      hint: 'type the value again, in one alphabet',
    };
  }
  return undefined;
}

function isBlank(value: string, index: number): boolean {
  return isSpace(value.charCodeAt(index)) || '\u200b\u2060\ufeff'.includes(value.charAt(index) || ' ');
}

/** Letters of two alphabets in one word, full-width ASCII, or a letter and its accent apart. */
function isLookalike(value: string): boolean {
  if (/[\uff01-\uff5e]/.test(value) || value.normalize('NFC') !== value) return true;
  const words = value.match(/[\p{L}\p{M}]+/gu) ?? [];
  return words.some((word) => /\p{Script=Latin}/u.test(word) && /[\p{Script=Cyrillic}\p{Script=Greek}]/u.test(word));
}
