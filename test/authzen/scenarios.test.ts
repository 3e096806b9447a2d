/** Scenarios of the kind that AuthZEN's implementers show to each other, as policy sets: lists, ownership, roles that entities hold. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Service, startService } from '../http/service.js';
import { fixtureSet } from './built-service.js';

let service: Service;
beforeAll(async () => {
  service = await startService({ ...fixtureSet('authzen-todo', 'todo'), ...fixtureSet('authzen-records', 'records') });
});
afterAll(() => service.stop());

describe('things to do', () => {
  const people = {
    rick: 'CiRmZDA2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs',
    morty: 'CiRmZDE2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs',
    summer: 'CiRmZDI2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs',
    beth: 'CiRmZDM2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs',
  };
  type Person = keyof typeof people;

  async function may(person: Person, action: string, ownerID?: string): Promise<boolean> {
    const resource = { type: 'todo', id: 'todo-1', ...(ownerID !== undefined && { properties: { ownerID } }) };
    const { body } = await service.post('/sets/todo/access/v1/evaluation', {
      subject: { type: 'user', id: people[person] },
      action: { name: action },
      resource,
    });
    expect(body.context.errors).toBeUndefined();
    return body.decision;
  }

  it.each<[Person, string, string | undefined, boolean]>([
    ['rick', 'can_read_todos', undefined, true],
    ['rick', 'can_create_todo', undefined, true],
    ['rick', 'can_update_todo', 'morty@the-citadel.com', true],
    ['rick', 'can_delete_todo', 'morty@the-citadel.com', true],
    ['morty', 'can_create_todo', undefined, true],
    ['morty', 'can_update_todo', 'rick@the-citadel.com', false],
    ['morty', 'can_update_todo', 'morty@the-citadel.com', true],
    ['morty', 'can_delete_todo', 'rick@the-citadel.com', false],
    ['summer', 'can_delete_todo', 'summer@the-smiths.com', true],
    ['beth', 'can_read_todos', undefined, true],
    ['beth', 'can_create_todo', undefined, false],
    ['beth', 'can_update_todo', 'beth@the-smiths.com', false],
  ])('%s %s of %s: %s', async (person, action, owner, expected) => {
    expect(await may(person, action, owner)).toBe(expected);
  });
});

describe('records', () => {
  const user = (id: string) => ({ type: 'user', id });
  const record = (id: string) => ({ type: 'record', id });
  const found = async (kind: string, body: object) => {
    const answer = await service.post(`/sets/records/access/v1/search/${kind}`, body);
    return answer.body.results.map((result: { id?: string; name?: string }) => result.id ?? result.name);
  };

  it('are found by department, by ownership and by the lists that name people', async () => {
    const view = { action: { name: 'view' } };
    expect(await found('resource', { subject: user('carol'), ...view, resource: { type: 'record' } })).toEqual([
      '101',
      '102',
    ]);
    expect(await found('subject', { subject: { type: 'user' }, ...view, resource: record('101') })).toEqual([
      'alice',
      'bob',
      'carol',
    ]);
    const edit = { action: { name: 'edit' } };
    expect(await found('resource', { subject: user('bob'), ...edit, resource: { type: 'record' } })).toEqual([
      '101',
      '102',
    ]);
    expect(await found('subject', { subject: { type: 'user' }, ...edit, resource: record('102') })).toEqual([
      'alice',
      'bob',
      'carol',
    ]);
  });

  it('are open to the actions that the roles of a person allow', async () => {
    expect(await found('action', { subject: user('alice'), resource: record('101') })).toEqual(['delete', 'view']);
    expect(await found('action', { subject: user('bob'), resource: record('101') })).toEqual(['edit', 'view']);
    expect(await found('action', { subject: user('carol'), resource: record('103') })).toEqual([]);
  });

  it('take what the request says of an entity before what is stored', async () => {
    const properties = { department: 'Finance' };
    const subject = { ...user('bob'), properties };
    const resource = { type: 'record' };
    expect(await found('resource', { subject, action: { name: 'view' }, resource })).toEqual(['103']);
  });
});
