/**
 * Reads what is needed to verify a record from the text of its line, without parsing it: the texts of its members are those that it
 * was hashed with, so they only have to be put in another order. It takes a third as long as parsing and serialising again.
 *
 * It reads lines as record-texts.ts writes them and no others: where a line differs in anything, its order included, it gives
 * undefined, and the line is read in full. Inside a value it looks for nothing but its end, since a value that was changed
 * gives another hash.
 */
import { idMilliseconds } from './decision-ids.js';
import type { IndexedField } from './record-keys.js';
import type { CommonTexts } from './record-texts.js';
import { timeText } from './time-text.js';

/** What a line says. */
export interface LineTexts {
  /** As `RecordTexts.whole`. */
  readonly whole: string;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly idTime: number;
  /** Texts of JSON. */
  readonly policySet: string;
  readonly policyVersion: string;
  readonly caller: string;
  readonly requestId: string;
  readonly subject: string;
  readonly resource: string;
  readonly action: string;
  readonly reason: string;
  readonly decision: string;
}

/** Where the reader is. */
class Reader {
  at = 0;
  /** Whether a comma was passed over last, so that another member must follow. */
  private isOpen = false;

  constructor(readonly text: string) {}

  /** Passes over this text, if it is next. */
  takes(text: string): boolean {
    if (!this.text.startsWith(text, this.at)) return false;
    this.at += text.length;
    return true;
  }

  /** Whether the object ends here, and with it the text. */
  get isAtEnd(): boolean {
    return !this.isOpen && this.at === this.text.length - 1 && this.text.charCodeAt(this.at) === closing;
  }

  /** The value of the member that begins like this, if it is next; with the comma behind it passed over. */
  member(name: string): string | undefined {
    if (!this.takes(name)) return undefined;
    const from = this.at;
    const to = endOfValue(this.text, from);
    this.isOpen = this.text.charCodeAt(to) === comma;
    // Where neither a comma nor the end follows, nothing more is found.
    this.at = this.isOpen ? to + 1 : to === this.text.length - 1 ? to : this.text.length;
    return this.text.slice(from, to);
  }
}

const quote = 34;
const comma = 44;
const closing = 125;
const backslash = 92;

/** Where a value ends that begins there; the end of the text where it does not end. */
function endOfValue(text: string, from: number): number {
  const first = text.charCodeAt(from);
  if (first === quote) return endOfText(text, from);
  let at = from;
  if (first === 123 || first === 91) {
    let depth = 0;
    for (; at < text.length; at++) {
      const unit = text.charCodeAt(at);
      if (unit === quote) at = endOfText(text, at) - 1;
      else if (unit === 123 || unit === 91) depth++;
      else if ((unit === 125 || unit === 93) && --depth === 0) return at + 1;
    }
    return at;
  }
  for (; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === comma || unit === 125 || unit === 93) return at;
  }
  return at;
}

/** Behind the quote that ends a text. */
function endOfText(text: string, from: number): number {
  for (let at = from + 1; ; at++) {
    at = text.indexOf('"', at);
    if (at === -1) return text.length;
    let before = at - 1;
    while (text.charCodeAt(before) === backslash) before--;
    if ((at - before) % 2 === 1) return at + 1;
  }
}

/** Undefined for a line that record-texts.ts would have written otherwise, or of which that cannot be told. */
export function lineTexts(line: string, common: CommonTexts): LineTexts | undefined {
  const { values, members } = common;
  const reader = new Reader(line);
  const id = reader.member('{"id":');
  // The forms of ids and times are those that this process writes, too: they have no escapes.
  const idTime = id === undefined ? undefined : idMilliseconds(id.slice(1, -1));
  if (id === undefined || idTime === undefined) return undefined;
  const ownTime = reader.member('"time":');
  const time = ownTime === undefined ? idTime : Date.parse(ownTime.slice(1, -1));
  if (Number.isNaN(time) || (ownTime !== undefined && (time === idTime || ownTime !== `"${timeText(time)}"`)))
    return undefined;
  let policySet: string | undefined;
  let policyVersion: string | undefined;
  let ownRevision: string | undefined;
  let engineVersion: string | undefined;
  let semantics: string | undefined;
  // Most records have none of those between, and to look for each of them would take half of the time.
  let request = reader.member('"request":');
  if (request === undefined) {
    policySet = reader.member('"policySet":');
    policyVersion = reader.member('"policyVersion":');
    ownRevision = reader.member('"revision":');
    engineVersion = reader.member('"engineVersion":');
    semantics = reader.member('"semantics":');
    request = reader.member('"request":');
  }
  let masked: string | undefined;
  let candidate: string | undefined;
  let clock: string | undefined;
  let decision = reader.member('"decision":');
  if (decision === undefined) {
    masked = reader.member('"masked":');
    candidate = reader.member('"candidate":');
    clock = reader.member('"clock":');
    decision = reader.member('"decision":');
  }
  const reason = reader.member('"reason":');
  let errors: string | undefined;
  let obligations: string | undefined;
  let search: string | undefined;
  let local: string | undefined;
  let disputed: string | undefined;
  let caller: string | undefined;
  let authentication: string | undefined;
  let via: string | undefined;
  let requestId = reader.member('"requestId":');
  if (requestId === undefined) {
    errors = reader.member('"errors":');
    obligations = reader.member('"obligations":');
    search = reader.member('"search":');
    local = reader.member('"local":');
    disputed = reader.member('"disputed":');
    caller = reader.member('"caller":');
    authentication = reader.member('"authentication":');
    via = reader.member('"via":');
    requestId = reader.member('"requestId":');
  }
  const traceId = reader.member('"traceId":');
  const durationUs = reader.member('"durationUs":');
  if (
    request === undefined ||
    decision === undefined ||
    reason === undefined ||
    requestId === undefined ||
    durationUs === undefined ||
    !reader.isAtEnd ||
    // What is left out where it says nothing new.
    policySet === values.policySet ||
    policyVersion === values.policyVersion ||
    engineVersion === values.engineVersion ||
    semantics === values.semantics ||
    caller === values.caller ||
    authentication === values.authentication ||
    via === values.via ||
    errors === '[]' ||
    obligations === '[]'
  )
    return undefined;
  const timeOf = `"${timeText(time)}"`;
  if (clock === timeOf) return undefined;
  const ofCommon = members.revision === undefined ? undefined : `${members.revision}`;
  if (ownRevision === ofCommon && ownRevision !== undefined) return undefined;
  if (ownRevision === 'null' && ofCommon === undefined) return undefined;
  const revision = ownRevision === undefined ? ofCommon : ownRevision === 'null' ? undefined : ownRevision;
  const asked = requestIds(request);
  const code = codeOf(reason);
  if (asked === undefined || code === undefined) return undefined;

  const whole =
    `{"authentication":${authentication ?? values.authentication},"caller":${caller ?? values.caller},` +
    `${candidate === undefined ? '' : `"candidate":${candidate},`}"clock":${clock ?? timeOf},"decision":${decision},${disputed === undefined ? '' : `"disputed":${disputed},`}"durationUs":${durationUs},` +
    `"engineVersion":${engineVersion ?? values.engineVersion},"errors":${errors ?? '[]'},"id":${id},${common.instance}` +
    `${local === undefined ? '' : `"local":${local},`}${masked === undefined ? '' : `"masked":${masked},`}"obligations":${obligations ?? '[]'},` +
    `"policySet":${policySet ?? values.policySet},"policyVersion":${policyVersion ?? values.policyVersion},` +
    `"reason":${reason},"request":${request},"requestId":${requestId},` +
    `${revision === undefined ? '' : `"revision":${revision},`}${search === undefined ? '' : `"search":${search},`}` +
    `"semantics":${semantics ?? values.semantics},"time":${timeOf},` +
    `${traceId === undefined ? '' : `"traceId":${traceId},`}"via":${via ?? values.via}}`;
  return {
    whole,
    time,
    idTime,
    policySet: policySet ?? values.policySet,
    policyVersion: policyVersion ?? values.policyVersion,
    caller: caller ?? values.caller,
    requestId,
    ...asked,
    reason: code,
    decision,
  };
}

/** The members of a request in the order of RFC 8785: action, attributes, resource, subject. */
function requestIds(request: string): Pick<LineTexts, 'action' | 'resource' | 'subject'> | undefined {
  const reader = new Reader(request);
  const action = reader.member('{"action":');
  reader.member('"attributes":');
  const resource = reader.member('"resource":');
  const subject = reader.member('"subject":');
  if (action === undefined || resource === undefined || subject === undefined || !reader.isAtEnd) return undefined;
  const name = ownMember(action, 'name');
  const resourceId = ownMember(resource, 'id');
  const subjectId = ownMember(subject, 'id');
  if (name === undefined || resourceId === undefined || subjectId === undefined) return undefined;
  return { action: name, resource: resourceId, subject: subjectId };
}

/** A member of an entity or an action, behind its attributes. */
function ownMember(entity: string, name: 'id' | 'name'): string | undefined {
  const reader = new Reader(entity);
  if (reader.member('{"attributes":') === undefined && !reader.takes('{')) return undefined;
  return reader.member(`"${name}":`);
}

function codeOf(reason: string): string | undefined {
  return new Reader(reason).member('{"code":');
}

/** The values by which a record is found. */
export function keyedValues(read: LineTexts): { readonly [field in IndexedField]: string } {
  const { requestId, subject, resource, caller, policyVersion, policySet, action, reason, decision } = read;
  return {
    requestId: unquoted(requestId),
    subject: unquoted(subject),
    resource: unquoted(resource),
    caller: unquoted(caller),
    policyVersion: unquoted(policyVersion),
    policySet: unquoted(policySet),
    action: unquoted(action),
    reason: unquoted(reason),
    decision: unquoted(decision),
  };
}

function unquoted(text: string): string {
  return text.includes('\\') ? textOf(text) : text.slice(1, -1);
}

/** Of a text that is none it is another one, and so are its keys. */
function textOf(json: string): string {
  try {
    return String(JSON.parse(json));
  } catch {
    return json;
  }
}
