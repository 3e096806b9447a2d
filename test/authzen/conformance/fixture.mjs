/** The certification scenario's subjects, records and what is expected of them, as requests. */

export const user = (id, properties) => ({ type: 'user', id, ...(properties && { properties }) });
export const record = (id, properties) => ({ type: 'record', id, ...(properties && { properties }) });
export const action = (name, properties) => ({ name, ...(properties && { properties }) });

export const question = (subject, does, resource, context) => ({
  subject: typeof subject === 'string' ? user(subject) : subject,
  action: typeof does === 'string' ? action(does) : does,
  resource: typeof resource === 'string' ? record(resource) : resource,
  ...(context && { context }),
});

export const allowed = question('alice', 'read', 'record-1');
export const denied = question('bob', 'write', 'record-1');

/** Rules 1 to 4 are asked by identifiers alone, 5 to 8 with properties. */
export const rules = [
  { rule: 1, ask: question('alice', 'read', 'record-1'), decision: true },
  { rule: 2, ask: question('alice', 'write', 'record-1'), decision: true },
  { rule: 3, ask: question('bob', 'read', 'record-1'), decision: true },
  { rule: 4, ask: question('bob', 'write', 'record-1'), decision: false },
  { rule: 5, ask: question('alice', 'write', record('record-2', { status: 'archived' })), decision: false },
  { rule: 5, ask: question('alice', 'write', record('record-1', { status: 'archived' })), decision: false },
  {
    rule: 6,
    ask: question(user('bob', { role: 'admin' }), 'write', record('record-2', { status: 'archived' })),
    decision: true,
  },
  {
    rule: 6,
    ask: question(user('carol', { role: 'admin' }), 'write', record('record-1', { status: 'archived' })),
    decision: true,
  },
  {
    rule: 6,
    ask: question(user('alice', { role: 'admin' }), 'write', record('record-2', { status: 'archived' })),
    decision: true,
  },
  { rule: 7, ask: question('alice', action('delete', { soft: true }), 'record-1'), decision: true },
  { rule: 8, ask: question('alice', action('delete', { soft: false }), 'record-1'), decision: false },
];

export const unknown = [
  { what: 'a subject', ask: question('mallory', 'read', 'record-1') },
  { what: 'a resource', ask: question('alice', 'read', 'record-99') },
  { what: 'an action', ask: question('alice', 'explode', 'record-1') },
  { what: 'a type of subject', ask: question({ type: 'robot', id: 'alice' }, 'read', 'record-1') },
  { what: 'a type of resource', ask: question('alice', 'read', { type: 'door', id: 'record-1' }) },
];

/** More results than these are allowed, as long as each is permitted when it is evaluated. */
export const searches = [
  {
    name: 'S1',
    kind: 'subject',
    ask: { subject: { type: 'user' }, action: action('read'), resource: record('record-1') },
    includes: ['alice', 'bob'],
  },
  {
    name: 'S2',
    kind: 'resource',
    ask: { subject: user('alice'), action: action('read'), resource: { type: 'record' } },
    includes: ['record-1'],
  },
  {
    name: 'S3',
    kind: 'action',
    ask: { subject: user('alice'), resource: record('record-1') },
    includes: ['read', 'write'],
  },
  {
    name: 'S4',
    kind: 'subject',
    ask: { subject: { type: 'user' }, action: action('write'), resource: record('record-2', { status: 'archived' }) },
    includes: ['bob'],
  },
  {
    name: 'S5',
    kind: 'resource',
    ask: { subject: user('bob', { role: 'admin' }), action: action('write'), resource: { type: 'record' } },
    includes: ['record-2'],
  },
  {
    name: 'S6',
    kind: 'action',
    ask: { subject: user('bob', { role: 'admin' }), resource: record('record-2', { status: 'archived' }) },
    includes: ['write'],
  },
];
