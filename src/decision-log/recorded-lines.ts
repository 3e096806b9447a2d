/** Reads lines of a group (group-text.ts) back into what they were made of, to make them again. */
import { idMilliseconds } from './decision-ids.js';
import type { NewDecisionRecord } from './decision-record.js';
import { type CommonMembers, commonMembers } from './group-text.js';
import { type CommonTexts, type RecordTexts, recordTexts } from './record-texts.js';

/** What the records of a group share. Undefined for a text that is none. */
export function readCommonLine(line: string): { readonly members: CommonMembers; readonly writer: number } | undefined {
  try {
    const { writer, instance, ...members } = JSON.parse(line);
    return { members: commonMembers(members, instance), writer };
  } catch {
    return undefined;
  }
}

/** A record as it was handed over, and whether its id holds its time. */
export type RecordedLine = NewDecisionRecord & { readonly isTimeInId: boolean };

/** Undefined for a text that no record has. */
export function readRecordLine(line: string, common: CommonMembers): RecordedLine | undefined {
  try {
    const own = JSON.parse(line);
    const isTimeInId = own.time === undefined;
    const time = isTimeInId ? idMilliseconds(own.id)! : Date.parse(own.time);
    // Written out, as in group-text.ts: spreading takes as long as parsing.
    return {
      id: own.id,
      policySet: own.policySet ?? common.policySet,
      policyVersion: own.policyVersion ?? common.policyVersion,
      revision: own.revision === undefined ? common.revision : (own.revision ?? undefined),
      engineVersion: own.engineVersion ?? common.engineVersion,
      semantics: own.semantics ?? common.semantics,
      request: own.request,
      masked: own.masked,
      candidate: own.candidate,
      decision: own.decision,
      reason: own.reason,
      search: own.search,
      erased: own.erased,
      local: own.local,
      disputed: own.disputed,
      caller: own.caller ?? common.caller,
      authentication: own.authentication ?? common.authentication,
      via: own.via ?? common.via,
      requestId: own.requestId,
      traceId: own.traceId,
      durationUs: own.durationUs,
      time,
      clock: own.clock === undefined ? time : Date.parse(own.clock),
      errors: own.errors ?? [],
      obligations: own.obligations ?? [],
      isTimeInId,
    };
  } catch {
    return undefined;
  }
}

/** The record's texts; undefined where a member that they need is not there. */
export function writeRecordLine(record: RecordedLine, common: CommonTexts): RecordTexts | undefined {
  try {
    return recordTexts(record, common, record.isTimeInId);
  } catch {
    return undefined;
  }
}
