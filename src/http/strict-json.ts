/**
 * Parses JSON and refuses what two readers could read differently (RFC 8259 section 4, RFC 7493): what the caller
 * meant, what is decided and what is recorded must be the same.
 */
import { isUtf8 } from 'node:buffer';
import { parseExactJson } from '../core/exact-json.js';
import { pointerStep } from '../core/json-pointer.js';
import type { Json, JsonObject } from '../core/request.js';
import { VerdictError } from '../errors.js';
import type { UncheckedDemand } from '../pdp/demand.js';
import { nextTurn, Turns } from '../turns/turns.js';
import { JsonScan, type ScanLimits } from './json-scan.js';
import { ListCutter } from './list-cutter.js';

/** Bytes that are scanned between two looks at the clock: a millisecond at most. */
const stepBytes = 32 * 1024;

/**
 * Parses a request body. Besides text that is not JSON it refuses invalid UTF-8, lone surrogates, NUL, duplicate member
 * names, `__proto__` as a member name, and nesting deeper than `limits.depth` (the outermost value is 1); the fault is
 * named by its JSON pointer. It also refuses more than `limits.values` values, before it makes any. An integer that a
 * double rounds to a neighbour becomes infinity, which `request-rules.ts` refuses where it is read.
 *
 *     parseStrictJson(Buffer.from('{"subject":{"id":"a","id":"b"}}'), { depth: 16, values: 1_000 })
 *     // throws VerdictError malformed_request, errors: [{ pointer: '/subject/id', detail: 'duplicate member name' }]
 *
 * @throws VerdictError malformed_request, or invalid_request for too many values
 */
export function parseStrictJson(body: Buffer, limits: ScanLimits): Json {
  if (!isUtf8(body)) throw notUtf8();
  scanAtOnce.restart(body, limits);
  scanAtOnce.run(body.length);
  return parsedBody(body, scanAtOnce);
}

/** Reused for all bodies that are scanned at once. */
const scanAtOnce = new JsonScan(Buffer.alloc(0), { depth: 0, values: 0 });

/** As `parseStrictJson`, in turns between which other requests are answered. */
export async function parseStrictJsonInTurns(body: Buffer, limits: ScanLimits): Promise<Json> {
  await nextTurn();
  const scan = scanOf(body, limits);
  await untilDone(() => scan.run(stepBytes));
  await nextTurn();
  const value = parsedBody(body, scan);
  // Validating, deciding and recording a body of this length takes a turn of its own.
  await nextTurn();
  return value;
}

/** The longest body whose items are held as values from their check on: as long as that of one request may be. */
const keptBytes = 2 ** 20;

/** A body whose list is parsed element by element, as each is needed. */
export interface BatchLimits extends ScanLimits {
  /** Most elements of the list. */
  readonly items: number;
  /** Most bytes of an element, and of everything outside the list, blanks not counted. */
  readonly bytes: number;
}

/**
 * Parses a body in turns, except the elements of the list `member` of the outermost object. These become `BatchItem`s;
 * all that are not too large have been checked to be JSON. A list that is too long keeps one element more than allowed,
 * by which validation refuses it.
 *
 * @throws VerdictError malformed_request, invalid_request, or payload_too_large if the part outside the list is too
 *   large
 */
export async function parseBatchBody(body: Buffer, limits: BatchLimits, member: string): Promise<Json> {
  await nextTurn();
  const scan = scanOf(body, limits, { member, limit: limits.items + 1 });
  await untilDone(() => scan.run(stepBytes));
  refuseFault(scan);
  const hasList = scan.listEnd !== -1;
  const listStart = hasList ? scan.listStart : body.length;
  const listEnd = hasList ? scan.listEnd : body.length;
  if (body.length - (listEnd - listStart) - scan.blanks > limits.bytes) {
    throw new VerdictError(
      'payload_too_large',
      `What stands outside of ${member} is longer than ${limits.bytes} bytes.`,
    );
  }
  const before = body.toString('utf8', 0, listStart);
  // The closing bracket is taken from the body: it may be the wrong one.
  const shell = parseText(hasList ? `${before}[${body.toString('utf8', listEnd - 1)}` : before);
  if (!hasList) return shell;
  const isKept = body.length <= keptBytes;
  const items = scan.elements.map(
    ({ start, end, oversized }) => new BatchItem(body, start, end, oversized, limits, isKept),
  );
  let index = 0;
  await untilDone(() => {
    if (index < items.length) items[index]!.check(`/${member}/${index++}`);
    return index === items.length;
  });
  // The list is a member of an object, so the shell is an object. Its elements are not JSON values yet; only routes of
  // batches see them.
  (shell as JsonObject)[member] = items as unknown as Json;
  return shell;
}

/** One item of a batch: its bytes in the body. */
export class BatchItem {
  /** What it demands of policy sets, and its set; undefined where it demands nothing. Not validated. */
  demand: UncheckedDemand | undefined;
  private parsed: Json | undefined;

  constructor(
    private readonly body: Buffer,
    private readonly start: number,
    private readonly end: number,
    private readonly oversized: boolean,
    private readonly limits: BatchLimits,
    private readonly isKept: boolean,
  ) {}

  get bytes(): number {
    return this.end - this.start;
  }

  /** @throws VerdictError malformed_request if it is not JSON; an item that is too large is not checked */
  check(pointer: string): void {
    if (this.fault() !== undefined) return;
    const value = parseText(this.text(), pointer);
    if (this.isKept) this.parsed = value;
    if (typeof value !== 'object' || value === null) return;
    if (!Object.hasOwn(value, 'atLeast') && !Object.hasOwn(value, 'maxStaleness')) return;
    const { policySet, atLeast, maxStaleness } = value as JsonObject;
    this.demand = { policySet, atLeast, maxStaleness };
  }

  /** What the check made, once, if the body is short; else parsed again, so that a long one holds the values of one item at a time. */
  value(): Json | VerdictError {
    const { parsed } = this;
    this.parsed = undefined;
    return this.fault() ?? (parsed === undefined ? parseText(this.text()) : parsed);
  }

  private fault(): VerdictError | undefined {
    if (this.bytes > this.limits.bytes) {
      return new VerdictError('payload_too_large', `The item is longer than ${this.limits.bytes} bytes.`);
    }
    return this.oversized ? tooManyValues('item', `holds more than ${this.limits.values} values`) : undefined;
  }

  private text(): string {
    return this.body.toString('utf8', this.start, this.end);
  }
}

/** A body of long lists, each a member of a member of it. */
export interface ListsLimits extends ScanLimits {
  /** Most bytes of an element of a list. */
  readonly elementBytes: number;
  /** Most bytes of everything outside the lists. */
  readonly bytes: number;
}

/**
 * As `parseStrictJsonInTurns`, for a body of long lists, `{"add": {"roles": […]}}`, which are parsed piece by piece: one
 * call of `JSON.parse` would take as long as the body is.
 *
 * @throws VerdictError malformed_request, invalid_request for too many values, or payload_too_large
 */
export async function parseBodyOfLists(body: Buffer, limits: ListsLimits): Promise<Json> {
  await nextTurn();
  const scan = scanOf(body, limits);
  await untilDone(() => scan.run(stepBytes));
  refuseFault(scan);
  const cutter = new ListCutter(body, limits.elementBytes);
  await untilDone(() => cutter.run(stepBytes));
  if (cutter.bytesOutside > limits.bytes) {
    throw new VerdictError(
      'payload_too_large',
      `What stands outside of the lists is longer than ${limits.bytes} bytes.`,
    );
  }
  const rest = parseText(cutter.rest());
  const turns = new Turns();
  for (const [name, member] of containersIn(rest)) {
    for (const [inner, list] of containersIn(member)) {
      // Every list of this depth was cut out: its number is left of it.
      if (!Array.isArray(list)) continue;
      const number = list[0] as number;
      const { list: faulty, element } = cutter.oversized ?? {};
      if (faulty === number) {
        const pointer = `/${pointerStep(name)}/${pointerStep(inner)}/${element}`;
        const detail = `is longer than ${limits.elementBytes} bytes`;
        throw new VerdictError('payload_too_large', `${pointer} ${detail}.`, { errors: [{ pointer, detail }] });
      }
      list.length = 0;
      const pieces = cutter.lists[number]!;
      for (let at = 0; at < pieces.length; at++) {
        if (turns.isOver) await turns.next();
        const values = parseText(cutter.textOf(pieces, at)) as Json[];
        for (let n = at === 0 ? 0 : 1; n < values.length - (at < pieces.length - 1 ? 1 : 0); n++) list.push(values[n]!);
      }
    }
  }
  return rest;
}

/** The objects and lists that are members or elements of a value. */
function containersIn(value: Json): [name: string, value: Json[] | JsonObject][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).filter(
    (entry): entry is [string, Json[] | JsonObject] => typeof entry[1] === 'object' && entry[1] !== null,
  );
}

function scanOf(body: Buffer, limits: ScanLimits, list?: { member: string; limit: number }): JsonScan {
  if (!isUtf8(body)) throw notUtf8();
  return new JsonScan(body, limits, list);
}

function notUtf8(): VerdictError {
  return new VerdictError('malformed_request', 'The body is not valid UTF-8.');
}

/** Does one step after the other, in turns, until one says that it was the last. */
async function untilDone(step: () => boolean): Promise<void> {
  const turns = new Turns();
  do {
    if (turns.isOver) await turns.next();
  } while (!step());
}

function parsedBody(body: Buffer, scan: JsonScan): Json {
  // Checked before parsing, so that a megabyte of opening brackets never becomes a megabyte of arrays. Bytes that are
  // not JSON are 400 with or without a fault of the scan.
  refuseFault(scan);
  return parseText(body.toString('utf8'));
}

function refuseFault({ fault }: JsonScan): void {
  if (fault === undefined) return;
  const { kind, pointer, detail, members = [] } = fault;
  if (kind === 'values') throw tooManyValues('body', detail, members);
  throw new VerdictError('malformed_request', `The body is not acceptable JSON: ${detail}.`, {
    errors: [{ pointer, detail }],
  });
}

function tooManyValues(what: string, detail: string, members: readonly string[] = []): VerdictError {
  const more = members.length === 0 ? '' : ` The first ${members.length} of the members among them are listed.`;
  return new VerdictError('invalid_request', `The ${what} ${detail}.${more}`, {
    errors: (members.length === 0 ? [''] : members).map((pointer) => ({ pointer, detail })),
  });
}

function parseText(text: string, pointer = ''): Json {
  try {
    return parseExactJson(text);
  } catch (error) {
    const { message: detail } = error as SyntaxError;
    throw new VerdictError('malformed_request', `The body is not JSON: ${detail}.`, {
      ...(pointer !== '' && { errors: [{ pointer, detail }] }),
    });
  }
}
