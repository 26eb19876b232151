// The adapter of swagger-typescript-api.

import type { Answer, Client, Fault } from './client';
import { Api, type HttpResponse } from './generated/swagger-typescript-api';

const api = new Api({ baseUrl: process.env.BASE_URL });

function answer<T>(
  response: HttpResponse<T, void | { detail: string | Fault[] }>,
): Answer<T> {
  const { status, headers, ok } = response;
  return ok
    ? { status, headers, value: response.data }
    : { status, headers, detail: response.error?.detail };
}

// It has no parameters for headers.
const ifMatch = (tag?: string) => (tag ? { headers: { 'If-Match': tag } } : {});
const ifNoneMatch = (tag?: string) => (tag ? { headers: { 'If-None-Match': tag } } : {});

export const client: Client = {
  createUser: async (body) => answer(await api.users.createUser(body)),
  getUser: async (id, tag) => answer(await api.users.getUser(id, ifNoneMatch(tag))),
  replaceUser: async (id, body, tag) =>
    answer(await api.users.replaceUser(id, body, ifMatch(tag))),
  updateUser: async (id, body, tag) => answer(await api.users.updateUser(id, body, ifMatch(tag))),
  // Without a format it would not read the body of an error where a success has none.
  deleteUser: async (id, tag) =>
    answer(await api.users.deleteUser(id, { ...ifMatch(tag), format: 'json' })),
  listUsers: async (query) => answer(await api.users.listUsers(query)),
  streamUsers: async (query) =>
    answer(await api.usersNdjson.streamUsers(query, { format: 'text' })),
};
