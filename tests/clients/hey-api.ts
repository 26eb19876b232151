// The adapter of @hey-api/openapi-ts.

import type { Answer, Client, Fault } from './client';
import * as api from './generated/hey-api';
import { client as http } from './generated/hey-api/client.gen';

http.setConfig({ baseUrl: process.env.BASE_URL });

function answer<T>(result: {
  data?: T;
  error?: { detail: string | Fault[] } | void;
  response?: Response;
}): Answer<T> {
  if (!result.response) throw new Error(`no response: ${JSON.stringify(result)}`);
  const { status, headers } = result.response;
  return { status, headers, value: result.data, detail: result.error?.detail };
}

const path = (user_id: number) => ({ user_id });

export const client: Client = {
  createUser: async (body) => answer(await api.createUser({ body })),
  getUser: async (id, ifNoneMatch) =>
    answer(await api.getUser({ path: path(id), headers: { 'If-None-Match': ifNoneMatch } })),
  replaceUser: async (id, body, ifMatch) =>
    answer(await api.replaceUser({ path: path(id), body, headers: { 'If-Match': ifMatch } })),
  updateUser: async (id, body, ifMatch) =>
    answer(await api.updateUser({ path: path(id), body, headers: { 'If-Match': ifMatch } })),
  deleteUser: async (id, ifMatch) =>
    answer(await api.deleteUser({ path: path(id), headers: { 'If-Match': ifMatch } })),
  listUsers: async (query) => answer(await api.listUsers({ query })),
  streamUsers: async (query) => answer(await api.streamUsers({ query, parseAs: 'text' })),
};
