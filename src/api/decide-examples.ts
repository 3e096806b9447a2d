/**
 * Requests that Swagger UI offers, of the bundled set `default`, a clinic. It shows the first one, so that one is allowed.
 */
import type { OperationExample } from '../http/operation.js';

const ask = (action: string, resource: object) => ({ subject: { type: 'user', id: 'dana' }, action, resource });
const read = ask('read', { type: 'lab-result', id: 'L-2231' });
const write = ask('write', { type: 'prescription', id: 'R-5190' });

export const decideExamples: Readonly<Record<string, OperationExample>> = {
  allowed: { summary: 'A nurse reads a lab result', value: read },
  denied: { summary: 'A nurse writes a prescription', value: write },
  explained: { summary: 'The same, and what would have to be otherwise', value: { ...write, explain: 'full' } },
};

export const batchExamples: Readonly<Record<string, OperationExample>> = {
  two: { summary: 'Both at once', value: { requests: [read, write] } },
};
