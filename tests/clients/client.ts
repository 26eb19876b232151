// What the scenario needs of a generated client, one function for each operation of the
// description. The adapters beside this file implement it, so the types that a generator made have
// to fit.

export interface NewUser {
  name: string;
  email: string;
}

export interface User extends NewUser {
  id: number;
}

export interface ListedUser extends User {
  etag?: string;
}

export interface Fault {
  type: string;
  loc: (string | number)[];
}

/** A response: its value if the operation succeeded, or the `detail` of its error. */
export interface Answer<T> {
  status: number;
  headers: Headers;
  value?: T;
  detail?: string | Fault[];
}

export interface Query {
  limit?: number;
  after?: number;
  email?: string;
  etag?: boolean;
}

/** The generators name the two cases of a change, of which one has to be given. */
export type Change = { name: string; email?: string } | { name?: string; email: string };

export interface Client {
  createUser(body: NewUser): Promise<Answer<User>>;
  getUser(id: number, ifNoneMatch?: string): Promise<Answer<User>>;
  replaceUser(id: number, body: NewUser, ifMatch?: string): Promise<Answer<User>>;
  updateUser(id: number, body: Change, ifMatch?: string): Promise<Answer<User>>;
  deleteUser(id: number, ifMatch?: string): Promise<Answer<void>>;
  listUsers(query: Query): Promise<Answer<ListedUser[]>>;
  /** The text of the list. */
  streamUsers(query: Query): Promise<Answer<string>>;
}
