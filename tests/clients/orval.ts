// The adapter of orval's clients; `run` writes one for each version, with the import replaced.

import type { Answer, Client } from './client';
import * as api from './generated/orval-8';

// orval would send a header whose value is undefined, as that word.
const ifMatch = (tag?: string) => (tag ? { 'If-Match': tag } : undefined);
const ifNoneMatch = (tag?: string) => (tag ? { 'If-None-Match': tag } : undefined);

export const client: Client = {
  createUser: async (body) => {
    const { status, headers, data } = await api.createUser(body);
    return status === 200
      ? { status, headers, value: data }
      : { status, headers, detail: data.detail };
  },
  getUser: async (id, tag) => {
    const answer = await api.getUser(id, ifNoneMatch(tag));
    const { status, headers } = answer;
    if (answer.status === 200) return { status, headers, value: answer.data };
    return answer.status === 304
      ? { status, headers }
      : { status, headers, detail: answer.data.detail };
  },
  replaceUser: async (id, body, tag) => {
    const { status, headers, data } = await api.replaceUser(id, body, ifMatch(tag));
    return status === 200
      ? { status, headers, value: data }
      : { status, headers, detail: data.detail };
  },
  updateUser: async (id, body, tag) => {
    const { status, headers, data } = await api.updateUser(id, body, ifMatch(tag));
    return status === 200
      ? { status, headers, value: data }
      : { status, headers, detail: data.detail };
  },
  deleteUser: async (id, tag) => {
    const answer = await api.deleteUser(id, ifMatch(tag));
    const { status, headers } = answer;
    return answer.status === 204 ? { status, headers } : { status, headers, detail: answer.data.detail };
  },
  listUsers: async (query) => {
    const { status, headers, data } = await api.listUsers(query);
    return status === 200
      ? { status, headers, value: data }
      : { status, headers, detail: data.detail };
  },
  streamUsers: async (query): Promise<Answer<string>> => {
    const answer = await api.streamUsers(query);
    const { status, headers } = answer;
    if (answer.status === 200) return { status, headers, value: await answer.stream.text() };
    // orval declares `data` for an error of a streamed operation, but returns `stream` then too.
    return { status, headers };
  },
};
