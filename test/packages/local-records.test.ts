/** `@verdict/client/local`: what becomes of the records of its decisions. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import {
  type JournalOptions,
  LocalVerdict,
  type LocalVerdictOptions,
  type LocalWarning,
  VerdictUnavailable,
} from '../../packages/client/src/local/local-verdict.js';
import { engineVersion } from '../../src/engine.js';
import { type LocalService, localService, mayRead, sendProblem } from './local-service.js';
import { sendJson } from './scripted-server.js';

let service: LocalService;
const warnings: LocalWarning[] = [];
beforeEach(async () => {
  warnings.length = 0;
  service = await localService();
});
afterEach(() => service.stop());

async function open(options: Partial<LocalVerdictOptions> = {}): Promise<LocalVerdict> {
  const verdict = await LocalVerdict.open({
    baseUrl: service.url,
    policySets: ['docs'],
    timeoutMs: 2_000,
    onWarning: (warning) => warnings.push(warning),
    ...options,
  });
  onTestFinished(() => verdict.close());
  return verdict;
}

const kinds = () => warnings.map(({ kind }) => kind);
const recordsPath = '/v1/decision-records';
const sent = () => service.asked.filter(({ path }) => path === recordsPath).map(({ body }) => JSON.parse(body));
const spoilRecords = (spoil: NonNullable<LocalService['spoil']>) => {
  service.spoil = (asked, response) => (asked.path === recordsPath ? spoil(asked, response) : undefined);
};
/** No records are taken until the returned function is called. */
const refuseRecords = () => {
  spoilRecords((_asked, response) => {
    sendProblem(response, 503, 'decision_log_unavailable');
    return true;
  });
  return () => {
    service.spoil = undefined;
  };
};
const only = () => {
  expect(service.taken.size).toBe(1);
  return [...service.taken.values()][0]!;
};
const subjectsOf = ({ items }: { items: readonly Record<string, unknown>[] }) =>
  items.map((item) => (item.request as { subject: string } | undefined)?.subject ?? `lost ${item.lost}`);
const folderOf = () => {
  const folder = mkdtempSync(join(tmpdir(), 'verdict-journal-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};
const linesIn = (folder: string) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.ndjson'))
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1));

describe('a record', () => {
  it('says what was asked and answered, when, and by which version', async () => {
    const verdict = await open();
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const question = { ...mayRead('ann'), attributes: { ip: '10.0.0.7' }, explain: 'full' as const, policySet: 'docs' };
    const before = Date.now();
    const { decisionId, reason } = verdict.decide(question, { traceparent, requestId: 'r-1' });
    verdict.decide(mayRead('eve'), { traceparent: 'none' });
    await verdict.close();
    const [instance, known] = [...service.taken][0]!;
    expect(decisionId).toBe(`${instance}-1`);
    const [first, second] = known.items as { decidedAt: string }[];
    expect(first).toEqual({
      decidedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      policySet: 'docs',
      policyVersion: service.bundle.version,
      engineVersion,
      request: { ...mayRead('ann'), attributes: { ip: '10.0.0.7' } },
      answer: { decision: 'allow', reason, errors: [], obligations: [] },
      requestId: 'r-1',
      traceparent,
    });
    expect(Date.parse(first!.decidedAt)).toBeGreaterThanOrEqual(before);
    expect(second).toMatchObject({ answer: { decision: 'deny', reason: { code: 'no_matching_rule' } } });
    expect(second).not.toHaveProperty('traceparent');
    expect(known).toMatchObject({ next: 3, isEnded: true });
    expect(kinds()).toEqual([]);
  });

  it.each(['a\u0007', 'x'.repeat(1_025), '\ud800', ['r'], ''])(
    'has no request id that is none: %j',
    async (requestId) => {
      const verdict = await open();
      verdict.decide(mayRead('ann'), { requestId: requestId as string });
      await verdict.close();
      expect(only().items).toHaveLength(1);
      expect(only().items[0]).not.toHaveProperty('requestId');
    },
  );

  it('stays what it was, whatever its caller does with the question and the answer', async () => {
    const verdict = await open();
    const question = { subject: { id: 'ann', attributes: { groups: ['a'] } }, action: 'read', resource: 'doc' };
    const answer = verdict.decide(question as never);
    question.subject.attributes.groups.push('b');
    question.subject.id = 'eve';
    const { code } = answer.reason;
    Object.assign(answer.reason, { code: 'other' });
    // A list that all answers without an error share.
    expect(() => (answer.errors as unknown[]).push('x')).toThrow(TypeError);
    await verdict.close();
    expect(only().items).toMatchObject([
      { request: { subject: { id: 'ann', attributes: { groups: ['a'] } } }, answer: { reason: { code }, errors: [] } },
    ]);
  });

  it('leaves by itself, with others, each once and in its order', async () => {
    const verdict = await open();
    for (let at = 0; at < 2_500; at++) verdict.decide(mayRead(`s${at}`));
    await expect.poll(() => verdict.unsent).toBe(0);
    expect(subjectsOf(only())).toEqual(Array.from({ length: 2_500 }, (_, at) => `s${at}`));
    expect(sent().length).toBeLessThan(5);
    expect(sent().every(({ records }) => records.length <= 2_000)).toBe(true);
    expect(only().isEnded).toBe(false);
    await verdict.close();
    expect(only().isEnded).toBe(true);
    // Nothing was decided since: only the end is told.
    expect(sent().at(-1)).toMatchObject({ first: 2_501, end: true, records: [] });
  });
});

describe('while the service takes none', () => {
  it('records are kept, and sent once it takes some again', async () => {
    const heal = refuseRecords();
    const verdict = await open();
    for (let at = 0; at < 30; at++) verdict.decide(mayRead(`s${at}`));
    await expect.poll(() => sent().length).toBeGreaterThan(1);
    expect(verdict.unsent).toBe(30);
    expect(kinds()).toEqual(['records_unsent']);
    heal();
    await expect.poll(() => verdict.unsent).toBe(0);
    expect(subjectsOf(only())).toEqual(Array.from({ length: 30 }, (_, at) => `s${at}`));
  });

  it('the newest are lost where there is no room, and that is a record', async () => {
    const heal = refuseRecords();
    const verdict = await open({ journal: { maxRecords: 3 } });
    for (const name of ['a', 'b', 'c', 'd', 'e']) expect(verdict.decide(mayRead(name)).decisionId).toMatch(/-\d$/);
    expect(kinds().filter((kind) => kind === 'records_lost')).toHaveLength(1);
    heal();
    await expect.poll(() => verdict.unsent).toBe(0);
    verdict.decide(mayRead('f'));
    await verdict.close();
    expect(subjectsOf(only())).toEqual(['a', 'b', 'c', 'lost 2', 'f']);
    expect(only().next).toBe(7);
    const lost = only().items[3] as { from: string; to: string };
    expect(Date.parse(lost.from)).toBeLessThanOrEqual(Date.parse(lost.to));
  });

  it('nothing is decided where there is no room, if that is wanted', async () => {
    const heal = refuseRecords();
    const verdict = await open({ journal: { maxRecords: 2, whenFull: 'refuse' } });
    for (const name of ['a', 'b']) verdict.decide(mayRead(name));
    expect(() => verdict.decide(mayRead('ann'))).toThrow(VerdictUnavailable);
    expect(verdict.decide(mayRead('ann'), { onUnavailable: 'deny' })).toMatchObject({ allowed: false });
    heal();
    await expect.poll(() => verdict.unsent).toBe(0);
    expect(verdict.can(mayRead('ann'))).toBe(true);
    await verdict.close();
    expect(subjectsOf(only())).toEqual(['a', 'b', 'ann']);
  });

  it('they are kept where the clock of this machine is off, and go when it is right', async () => {
    let isOff = true;
    spoilRecords((_asked, response) => {
      if (!isOff) return undefined;
      sendProblem(response, 400, 'clock_off');
      return true;
    });
    const verdict = await open();
    verdict.decide(mayRead('ann'));
    await expect.poll(kinds).toEqual(['records_unsent']);
    expect(warnings[0]!.message).toContain('clock_off');
    expect(verdict.unsent).toBe(1);
    isOff = false;
    await expect.poll(() => verdict.unsent).toBe(0);
    expect(subjectsOf(only())).toEqual(['ann']);
  });

  it('a long question takes as much room as many', async () => {
    const heal = refuseRecords();
    const verdict = await open({ journal: { maxRecords: 10 } });
    verdict.decide({ ...mayRead('a'), attributes: { text: 'x'.repeat(40_000) } });
    verdict.decide(mayRead('b'));
    expect(kinds()).toContain('records_lost');
    expect(() => verdict.decide({ ...mayRead('c'), attributes: { text: 'x'.repeat(2 ** 20) } })).toThrow(
      'payload_too_large',
    );
    heal();
    await verdict.close();
    expect(subjectsOf(only())).toEqual(['a', 'lost 1']);
  });

  it('what cannot be sent at the end is told', async () => {
    refuseRecords();
    const verdict = await open();
    verdict.decide(mayRead('ann'));
    await verdict.close();
    expect(warnings.at(-1)).toMatchObject({ kind: 'records_unsent', message: expect.stringContaining('are lost') });
  });
});

describe('what the service says of records', () => {
  it('is heard: which it did not take, and which it would have decided otherwise', async () => {
    spoilRecords(({ body }, response) => {
      const { first, records } = JSON.parse(body);
      const refused = [{ number: first, code: 'policy_version_not_found', message: 'No such version.' }];
      sendJson(response, { next: first + records.length, disputed: 1, refused });
      return true;
    });
    const verdict = await open();
    verdict.decide(mayRead('ann'));
    await expect.poll(kinds).toEqual(['records_disputed', 'records_refused']);
    expect(verdict.unsent).toBe(0);
  });

  it('may be that it took some of them', async () => {
    let isSlow = true;
    spoilRecords(({ body }, response) => {
      const { instance, first, records } = JSON.parse(body);
      if (!isSlow) return undefined;
      isSlow = false;
      service.taken.set(instance, { items: records.slice(0, 2), next: first + 2, isEnded: false });
      sendJson(response, { next: first + 2, disputed: 0, refused: [] });
      return true;
    });
    const verdict = await open();
    for (const name of ['a', 'b', 'c']) verdict.decide(mayRead(name));
    await expect.poll(() => verdict.unsent).toBe(0);
    expect(subjectsOf(only())).toEqual(['a', 'b', 'c']);
  });

  it('may come too late: the same records are sent again, and are there once', async () => {
    let tries = 0;
    spoilRecords((_asked, response) => {
      if (++tries > 2) return undefined;
      // It took them, and the answer is lost.
      queueMicrotask(() => response.destroy());
      return undefined;
    });
    const verdict = await open();
    for (const name of ['a', 'b', 'c']) verdict.decide(mayRead(name));
    await expect.poll(() => verdict.unsent).toBe(0);
    await verdict.close();
    expect(subjectsOf(only())).toEqual(['a', 'b', 'c']);
  });

  it('is not believed where it claims what it was not given', async () => {
    let isWrong = true;
    spoilRecords((_asked, response) => {
      if (!isWrong) return undefined;
      sendJson(response, { next: 99, disputed: 0, refused: [] });
      return true;
    });
    const verdict = await open();
    verdict.decide(mayRead('ann'));
    await expect.poll(kinds).toEqual(['records_unsent']);
    expect(verdict.unsent).toBe(1);
    isWrong = false;
    await expect.poll(() => verdict.unsent).toBe(0);
  });

  it('may be that it has lost what it had: that is a gap', async () => {
    const verdict = await open();
    for (const name of ['a', 'b']) verdict.decide(mayRead(name));
    await expect.poll(() => verdict.unsent).toBe(0);
    service.taken.clear();
    verdict.decide(mayRead('c'));
    await expect.poll(() => verdict.unsent).toBe(0);
    expect(subjectsOf(only())).toEqual(['lost 2', 'c']);
  });

  it.each([
    [413, 'payload_too_large'],
    [400, 'invalid_request'],
  ])(
    'may be that one is more than it takes (%d): that one is a gap, and the others are there',
    async (status, code) => {
      spoilRecords(({ body }, response) => {
        if (!body.includes('"bad"')) return undefined;
        sendProblem(response, status, code);
        return true;
      });
      const verdict = await open();
      for (const name of ['a', 'bad', 'b', 'c']) verdict.decide(mayRead(name));
      await expect.poll(() => verdict.unsent).toBe(0);
      await verdict.close();
      expect(subjectsOf(only())).toEqual(['a', 'lost 1', 'b', 'c']);
      expect(kinds()).toEqual(['records_refused']);
    },
  );
});

describe('with a folder', () => {
  const journal = (directory: string): { journal: JournalOptions } => ({ journal: { directory } });

  it('what was not sent is sent by the next process, under its instance and numbers', async () => {
    const directory = folderOf();
    const heal = refuseRecords();
    const first = await open(journal(directory));
    const ids = ['a', 'b'].map((name) => first.decide(mayRead(name)).decisionId!);
    await first.close();
    expect(warnings.at(-1)?.message).toContain('stay in the folder');
    expect(linesIn(directory)).toHaveLength(2);
    heal();
    const second = await open(journal(directory));
    const id = second.decide(mayRead('c')).decisionId!;
    await second.close();
    const [before, after] = [ids[0]!, id].map((each) => service.taken.get(each.split('-')[0]!)!);
    expect([subjectsOf(before!), subjectsOf(after!)]).toEqual([['a', 'b'], ['c']]);
    expect([before!.isEnded, after!.isEnded]).toEqual([false, true]);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('a line that was cut off counts as never written, and a hole as lost', async () => {
    const directory = folderOf();
    const instance = 'a'.repeat(32);
    const heal = refuseRecords();
    const first = await open(journal(directory));
    first.decide(mayRead('a'));
    await first.close();
    const [line] = linesIn(directory);
    for (const name of readdirSync(directory)) rmSync(join(directory, name));
    writeFileSync(join(directory, `${instance}-1.ndjson`), `${line}\n${line}\n${line!.slice(0, 40)}`);
    writeFileSync(join(directory, `${instance}-6.ndjson`), `${line}\n`);
    writeFileSync(join(directory, 'notes.txt'), 'not a journal');
    heal();
    const second = await open(journal(directory));
    await expect.poll(() => second.unsent).toBe(0);
    expect(subjectsOf(service.taken.get(instance)!)).toEqual(['a', 'a', 'lost 3', 'a']);
    expect(readdirSync(directory).filter((name) => name !== 'lock')).toEqual(['notes.txt']);
  });

  it('what the service knows more of than the folder has is done with', async () => {
    const directory = folderOf();
    refuseRecords();
    const first = await open(journal(directory));
    const [instance] = first.decide(mayRead('a')).decisionId!.split('-') as [string];
    await first.close();
    service.spoil = undefined;
    service.taken.set(instance, { items: [{}, {}, {}], next: 4, isEnded: false });
    const second = await open(journal(directory));
    await expect.poll(() => second.unsent).toBe(0);
    expect(service.taken.get(instance)).toMatchObject({ next: 4 });
    await second.close();
    expect(readdirSync(directory)).toEqual([]);
  });

  it.each([false, true])(
    'goes on as another instance where its own is of another caller; with a folder: %s',
    async (isKept) => {
      const directory = folderOf();
      const verdict = await open(isKept ? journal(directory) : {});
      const { decisionId } = verdict.decide(mayRead('a'));
      const [instance] = decisionId!.split('-') as [string];
      spoilRecords(({ body }, response) => {
        if (!body.includes(`"instance":"${instance}"`)) return undefined;
        sendProblem(response, 409, 'instance_taken');
        return true;
      });
      await expect.poll(() => verdict.unsent).toBe(0);
      expect(only().items).toMatchObject([{ requestId: decisionId }]);
      const next = verdict.decide(mayRead('b')).decisionId!;
      expect(next).toMatch(/-2$/);
      expect(next).not.toContain(instance);
      await verdict.close();
      expect(subjectsOf(only())).toEqual(['a', 'b']);
      expect(readdirSync(directory)).toEqual([]);
    },
  );

  it('what is refused of an earlier process does not hold up what is decided now', async () => {
    const directory = folderOf();
    const before = await (async () => {
      refuseRecords();
      const first = await open(journal(directory));
      const { decisionId } = first.decide(mayRead('a'));
      await first.close();
      return decisionId!.split('-')[0]!;
    })();
    spoilRecords(({ body }, response) => {
      if (!body.includes(before)) return undefined;
      sendProblem(response, 409, 'instance_taken');
      return true;
    });
    const second = await open(journal(directory));
    second.decide(mayRead('b'));
    await expect.poll(() => second.unsent).toBe(1);
    expect(subjectsOf(only())).toEqual(['b']);
    await second.close();
    expect(linesIn(directory)).toHaveLength(1);
  });

  it('is of one process at a time', async () => {
    const directory = folderOf();
    const verdict = await open(journal(directory));
    await expect(open(journal(directory))).rejects.toThrow('another process has the folder');
    await verdict.close();
    await open(journal(directory));
  });

  it('goes on in memory where the folder cannot be written', async () => {
    const directory = folderOf();
    const verdict = await open(journal(directory));
    rmSync(directory, { recursive: true });
    verdict.decide(mayRead('ann'));
    await expect.poll(() => verdict.unsent).toBe(0);
    expect(kinds()).toEqual(['journal']);
    expect(subjectsOf(only())).toEqual(['ann']);
  });

  it('kill -9: nothing is there twice, and nothing is lost that was in the folder', async () => {
    const directory = folderOf();
    const program = fileURLToPath(new URL('local-client.mjs', import.meta.url));
    for (let round = 0; round < 3; round++) {
      const heal = round === 1 ? () => {} : refuseRecords();
      if (round === 1) service.spoil = undefined;
      const child = spawn(process.execPath, [program, service.url, directory], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let lines = 0;
      for await (const _ of createInterface({ input: child.stdout })) if (++lines > 100) break;
      child.kill('SIGKILL');
      await once(child, 'exit');
      heal();
    }
    const onDisk = readdirSync(directory).filter((name) => name.endsWith('.ndjson'));
    expect(onDisk.length).toBeGreaterThan(0);
    const numbersOnDisk = onDisk.flatMap((name) => {
      const [, instance, first] = /^(\w+)-(\d+)/.exec(name)!;
      const count = readFileSync(join(directory, name), 'utf8').split('\n').length - 1;
      return Array.from({ length: count }, (_, at) => `${instance}-${Number(first) + at}`);
    });
    appendFileSync(join(directory, onDisk[0]!), '{"decidedAt": "20');
    service.spoil = undefined;
    const last = await open(journal(directory));
    await expect.poll(() => last.unsent).toBe(0);
    await last.close();
    for (const id of numbersOnDisk) {
      const [instance, number] = id.split('-') as [string, string];
      expect(service.taken.get(instance)!.next, id).toBeGreaterThan(Number(number));
    }
    for (const { items, next } of service.taken.values()) {
      // The scripted service adds an item for each new number alone: as many as there are numbers.
      expect(items.reduce((sum, { lost }) => sum + Number(lost ?? 1), 0)).toBe(next - 1);
      const subjects = subjectsOf({ items });
      expect(subjects).toEqual(subjects.map((_, at) => `s${at % 20}`));
    }
    expect(readdirSync(directory)).toEqual([]);
  });
});
