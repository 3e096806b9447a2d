import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatModel, formatRules } from '../../../src/core/analysis/format.js';
import { parseModel } from '../../../src/core/casbin/model-document.js';
import { parseRules } from '../../../src/core/casbin/rules-document.js';
import { compileInSteps } from '../../../src/core/policy/compile.js';
import { finish } from '../../../src/core/steps.js';

function rules(text: string): string {
  const formatted = formatRules(text, 'rules.csv');
  if ('problems' in formatted) throw new Error(formatted.problems.map(({ code }) => code).join());
  return formatted.text;
}

function model(text: string): string {
  const formatted = formatModel(text, 'model.conf');
  return 'text' in formatted ? formatted.text : text;
}

describe('rules', () => {
  it.each([
    ['one space after each comma', 'p,alice,data1,  read', 'p, alice, data1, read\n'],
    ['no space around a line, no CR', '  p, a, b\t\r\n', 'p, a, b\n'],
    ['nothing in an empty field', 'p, a, , allow , ', 'p, a,, "allow ",\n'],
    ['white space that belongs to a field is shown', 'p, alice , b', 'p, "alice ", b\n'],
    ['quotes stay, with what is doubled in them', 'p,"say ""hi""",  "x"', 'p, "say ""hi""", "x"\n'],
    ['an empty text in quotes stays one', 'p, a, ""', 'p, a, ""\n'],
    ['comments stay', '#one\n   # two\np, a', '#one\n# two\np, a\n'],
    ['one empty line is enough', '\n\n\np, a\n\n\n\np, b\n\n', 'p, a\n\np, b\n'],
    ['no byte order mark', '\uFEFFp, a', 'p, a\n'],
    ['nothing stays nothing', ' \n\n', ''],
  ])('%s', (_that, text, wanted) => {
    expect(rules(text)).toBe(wanted);
  });

  it('that do not parse are not touched, and the fault has its place', () => {
    expect(formatRules('p, a\np, "b', 'rules.csv')).toMatchObject({
      problems: [{ code: 'bad_quotes', file: 'rules.csv', line: 2, column: 4 }],
    });
  });

  it('whose line would become too long to be read stay as they are', () => {
    const long = `p,${'a,'.repeat(25_000)}b`;
    expect(rules(long)).toBe(`${long}\n`);
  });

  const field = fc.oneof(
    fc.constantFrom('', 'alice', ' a', 'b ', '*', 'a,b', 'say "hi"', '"', "r.sub.x == 'y'", '#', '\u0085', 'é', ' '),
    fc.string({ maxLength: 6 }).filter((text) => !/[\n\r\0]/.test(text)),
  );
  const space = fc.constantFrom('', ' ', '  ', '\t');
  const written = fc.tuple(field, space, fc.boolean()).map(([text, before, inQuotes]) => {
    const mustQuote = inQuotes || /[",]/.test(text);
    return mustQuote ? `${before}"${text.replaceAll('"', '""')}"` : `${before}${text}`;
  });
  const line = fc.oneof(
    fc.constantFrom('', '  ', '# comment', ' #x'),
    fc
      .tuple(fc.constantFrom('p', 'g', 'p2'), fc.array(written, { maxLength: 5 }))
      .map((parts) => parts.flat().join(',')),
  );

  it('mean the same as before, and formatting again changes nothing', () => {
    const read = (text: string) => parseRules(text, 'f', () => {}).map(({ ptype, fields }) => [ptype, ...fields]);
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), fc.constantFrom('\n', '\r\n'), (lines, end) => {
        const text = lines.join(end);
        const formatted = formatRules(text, 'f');
        if ('problems' in formatted) return;
        expect(read(formatted.text)).toEqual(read(text));
        expect(rules(formatted.text)).toBe(formatted.text);
      }),
      { numRuns: 500 },
    );
  });
});

describe('models', () => {
  it('have spaces around "=" and after commas, and an empty line before each section', () => {
    const text =
      '[request_definition]\nr=sub,obj ,act\n# rules\n[policy_definition]\n\n\np = sub,obj\n[role_definition]\ng=_,_,(_,_)\n[matchers]\nm=r.sub==p.sub && \\\n r.obj == p.obj # all';
    expect(model(text)).toBe(
      '[request_definition]\nr = sub, obj, act\n\n# rules\n[policy_definition]\n\np = sub, obj\n\n[role_definition]\ng = _, _, (_, _)\n\n[matchers]\nm = r.sub==p.sub && \\\n    r.obj == p.obj # all\n',
    );
  });

  it('a comment ends what a backslash at its end would continue', () => {
    expect(model('[request_definition]\n# c \\\nr=sub,obj\n')).toBe('[request_definition]\n# c \\\nr = sub, obj\n');
  });

  it('that do not parse are not touched', () => {
    expect(formatModel('[matchers]\nm  r.sub', 'model.conf')).toMatchObject({ problems: [{ code: 'missing_equals' }] });
  });

  const pieces = fc.constantFrom(
    ...['[request_definition]', '[policy_definition]', '[role_definition]', '[policy_effect]', '[matchers]', ''],
    ...[
      'r = sub,obj',
      'p=sub ,  obj',
      'g = _,_',
      'g2=_, _,_',
      'e = some(where (p.eft == allow))',
      '# c',
      '; d',
      '  # e',
    ],
    ...['m = r.sub == p.sub&&  r.obj == p.obj', 'm = r.sub == p.sub && \\', '  r.obj == p.obj', 'r = a, b # comment'],
    ...['# c \\', 'p = a \\', ', b', 'broken', '[x', 'm2 = "a,b" in (r.sub,r.obj)'],
  );

  it('mean the same as before, and formatting again changes nothing', () => {
    const read = (text: string) => {
      const { definitions } = parseModel(text, 'f', () => {});
      return Object.values(definitions).flatMap((section) =>
        [...section.values()].map(({ section: of, key, value }) =>
          // Between columns white space means nothing.
          [of, key, 'rpg'.includes(of) ? value.replace(/\s*,\s*/g, ',') : value],
        ),
      );
    };
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 14 }), (lines) => {
        const text = lines.join('\n');
        expect(read(model(text))).toEqual(read(text));
        expect(model(model(text))).toBe(model(text));
      }),
      { numRuns: 1_000 },
    );
  });
});

it('a compiled set answers the same before and after', () => {
  const name = fc.constantFrom('alice', 'bob', 'admin', 'staff');
  const text = fc
    .array(
      fc.oneof(
        fc.tuple(fc.constant('p'), name, fc.constantFrom('d1', 'd2'), fc.constantFrom('read', 'write')),
        fc.tuple(fc.constant('g'), name, fc.constantFrom('root', 'boss')),
      ),
      { maxLength: 8 },
    )
    .map((lines) => lines.map(([ptype, ...fields]) => `${ptype},${fields.join(' ,  ')}`).join('\n\n\n'));
  const source =
    '[request_definition]\nr=sub,obj,act\n[policy_definition]\np=sub,obj,act\n[role_definition]\ng=_,_\n[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm=g(r.sub,p.sub)&&r.obj==p.obj&&r.act==p.act\n';
  const tableOf = (modelText: string, rulesText: string) => {
    const { table } = finish(compileInSteps({ model: modelText, rules: rulesText }, () => ''));
    const fieldsOf = (lists: ReadonlyMap<string, Iterable<{ readonly fields: readonly string[] }>>) =>
      [...lists].map(([key, list]) => [key, Array.from(list, ({ fields }) => fields)]);
    return [fieldsOf(table.policies), fieldsOf(table.groupings)];
  };
  fc.assert(
    fc.property(text, (before) => {
      expect(tableOf(model(source), rules(before))).toEqual(tableOf(source, before));
    }),
  );
});
