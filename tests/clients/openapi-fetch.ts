// The adapter of openapi-fetch, typed by openapi-typescript.

import createClient from 'openapi-fetch';

import type { Answer, Client, Fault } from './client';
import type { paths } from './generated/openapi-typescript';

const api = createClient<paths>({ baseUrl: process.env.BASE_URL ?? '' });

function answer<T>(result: {
  data?: T;
  error?: { detail: string | Fault[] };
  response: Response;
}): Answer<T> {
  const { status, headers } = result.response;
  return { status, headers, value: result.data, detail: result.error?.detail };
}

const path = (user_id: number) => ({ user_id });

export const client: Client = {
  createUser: async (body) => answer(await api.POST('/users/', { body })),
  getUser: async (id, ifNoneMatch) => {
    const header = { 'If-None-Match': ifNoneMatch };
    return answer(await api.GET('/users/{user_id}', { params: { path: path(id), header } }));
  },
  replaceUser: async (id, body, ifMatch) => {
    const header = { 'If-Match': ifMatch };
    return answer(await api.PUT('/users/{user_id}', { params: { path: path(id), header }, body }));
  },
  updateUser: async (id, body, ifMatch) => {
    const header = { 'If-Match': ifMatch };
    return answer(
      await api.PATCH('/users/{user_id}', { params: { path: path(id), header }, body }),
    );
  },
  deleteUser: async (id, ifMatch) => {
    const header = { 'If-Match': ifMatch };
    const result = await api.DELETE('/users/{user_id}', { params: { path: path(id), header } });
    return answer<void>({ ...result, data: undefined });
  },
  listUsers: async (query) => answer(await api.GET('/users/', { params: { query } })),
  streamUsers: async (query) =>
    answer(await api.GET('/users.ndjson', { params: { query }, parseAs: 'text' })),
};
