import { describe, expect, it } from 'vitest';
import type { DecisionQuery } from '../../src/decision-log/decision-query.js';
import type { DecisionRecord, NewDecisionRecord } from '../../src/decision-log/decision-record.js';
import { exampleRecord, noon } from './example-records.js';
import type { MakeLogHome } from './log-home.js';

type Change = (record: NewDecisionRecord, id: string) => Partial<NewDecisionRecord>;
const inRequest = (change: (request: NewDecisionRecord['request'], id: string) => object): Change => {
  return ({ request }, id) => ({ request: { ...request, ...change(request, id) } as NewDecisionRecord['request'] });
};

const otherAnswer = {
  decision: 'deny',
  reason: { code: 'c' },
  errors: [],
  obligations: [],
  engineVersion: '0.1.0',
} as const;

/** Where a record can hold an id, and how it concerns the person then. */
const places: readonly (readonly [place: string, change: Change, concerns: boolean])[] = [
  ['subject', inRequest(({ subject }, id) => ({ subject: { ...subject, id } })), true],
  ['resource', inRequest(({ resource }, id) => ({ resource: { ...resource, id } })), true],
  ['type', inRequest(({ subject }, id) => ({ subject: { ...subject, type: id } })), true],
  ['attribute', inRequest(({ subject }, id) => ({ subject: { ...subject, attributes: { manager: id } } })), true],
  ['deep', inRequest(({ resource }, id) => ({ resource: { ...resource, attributes: { a: [{ b: [1, id] }] } } })), true],
  ['name', inRequest((_request, id) => ({ attributes: { tenant: 'acme', by: { [id]: true } } })), true],
  ['action', inRequest((_request, id) => ({ action: { name: id } })), true],
  ['caller', (_record, id) => ({ caller: id }), true],
  ['rule', ({ reason }, id) => ({ reason: { ...reason, rule: ['p', id, 'invoice'] } }), true],
  ['message', ({ reason }, id) => ({ reason: { ...reason, message: id } }), true],
  ['obligation', (_record, id) => ({ obligations: [{ notify: id }] }), true],
  ['disputed rule', (_record, id) => ({ disputed: { ...otherAnswer, reason: { code: 'c', rule: ['p', id] } } }), true],
  ['disputed obligation', (_record, id) => ({ disputed: { ...otherAnswer, obligations: [[id]] } }), true],
  ['result', (_record, id) => ({ search: { kind: 'subject', results: ['ann', id], complete: true } as never }), true],
  [
    'pointer',
    (_record, id) => ({
      errors: [
        {
          code: 'missing',
          message: 'no',
          pointer: `/subject/attributes/${id.replaceAll('~', '~0').replaceAll('/', '~1')}`,
        },
      ] as never,
    }),
    true,
  ],
  [
    'within a text',
    inRequest(({ subject }, id) => ({ subject: { ...subject, attributes: { note: `${id} left` } } })),
    false,
  ],
  ['longer', inRequest(({ subject }, id) => ({ subject: { ...subject, id: `${id}2` } })), false],
  ['nowhere', () => ({}), false],
];

/** What the filter `about` finds, in whichever database the log is. */
export function describeAbout(name: string, newHome: MakeLogHome): void {
  describe(`decisions about a person in ${name}`, () => {
    it.each(['dana', 'a/b~c', '"q"\\', '🙂 é', '%_', '1'])(
      'are those about the id, and those in which a value is equal to it, wherever: %s',
      async (id) => {
        const home = newHome();
        const log = await home.start();
        await Promise.all(
          places.map(([place, change], n) => {
            const record = exampleRecord(log, { now: noon + n, requestId: place });
            return log.append({ ...record, ...change(record, id) });
          }),
        );
        const wanted = places.filter(([, , concerns]) => concerns).map(([place]) => place);
        const placesIn = (records: readonly Pick<DecisionRecord, 'requestId'>[]) =>
          records.map(({ requestId }) => requestId).sort();
        const find = async (query: DecisionQuery) => placesIn((await log.search({ limit: 1_000, ...query })).items);
        for (const isIndexed of [false, true]) {
          if (isIndexed) await home.index(log);
          expect(await find({ about: id })).toEqual([...wanted].sort());
        }
        expect(await find({ about: id, subject: 'alice', caller: id })).toEqual(['caller']);
        expect(await find({ about: `${id}3` })).toEqual([]);
        let text = '';
        for await (const piece of log.export({ about: id })) text += piece;
        expect(
          placesIn(
            text
              .trim()
              .split('\n')
              .map((line) => JSON.parse(line)),
          ),
        ).toEqual([...wanted].sort());
      },
    );

    it('are listed page by page, and only those of sets that the caller may see', async () => {
      const log = await newHome().start();
      for (let n = 0; n < 30; n++) {
        const example = {
          now: noon + n,
          subject: 'dana',
          policySet: n % 2 === 0 ? 'invoices' : 'loans',
          requestId: `${n}`,
        };
        await log.append(exampleRecord(log, example));
      }
      const seen: string[] = [];
      let cursor: string | undefined;
      do {
        const query = { about: 'dana', limit: 7, ...(cursor !== undefined && { cursor }) };
        const page = await log.search(query, { policySets: ['loans'] });
        seen.push(...page.items.map(({ requestId }) => requestId));
        cursor = page.nextCursor;
      } while (cursor !== undefined);
      expect(seen.map(Number)).toEqual(Array.from({ length: 15 }, (_, n) => 29 - 2 * n));
    });
  });
}
