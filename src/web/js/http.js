/** Requests to the server that this page came from, and addresses of its WebSockets, in the name of who the page is. */

import { me } from './identity.js';
import { errorText } from './words.js';

/** A request that has no answer by then, in ms, is given up. */
const TIMEOUT_MS = 5000;

/** An answer of the server that is not a success. */
export class ApiError extends Error {
  /** @param {number} status @param {{error?: string, code?: string}} body */
  constructor(status, body) {
    super(typeof body.error === 'string' ? body.error : `the server answered ${status}`);
    this.status = status;
    this.code = typeof body.code === 'string' ? body.code : null;
  }

  /** What happened, in words for the person in front of the page. */
  get words() {
    return errorText({ code: this.code, error: this.message });
  }
}

/**
 * The JSON that the server answers.
 *
 * @throws {ApiError} when it refuses; another error when it cannot be reached in time
 */
export async function request(method, path, body) {
  const { token } = me;
  const headers = { accept: 'application/json' };
  if (token !== null) headers.authorization = `Bearer ${token}`;
  else headers['x-user-id'] = me.userId;
  if (body !== undefined) headers['content-type'] = 'application/json';
  const response = await fetch(path, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: 'no-store',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const answer = (await response.json().catch(() => null)) ?? {};
  if (response.ok) return answer;
  const error = new ApiError(response.status, answer);
  // A wrong password is an answer to what was typed, no question for another token.
  if (error.status === 401 && error.code !== 'bad_credentials') me.refused();
  throw error;
}

export function get(path) {
  return request('GET', path);
}

/**
 * A WebSocket's address. Browsers cannot set headers there: the token goes into the query, and only there.
 *
 * @param {string} path
 * @param {Record<string, string | number>} query
 * @param {string} nameKey what the route calls the user where nobody asks for a token
 */
export function socketUrl(path, query, nameKey) {
  const url = new URL(path, location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const { token } = me;
  const who = token === null ? {} : { token };
  url.search = new URLSearchParams({ ...query, [nameKey]: me.userId, ...who }).toString();
  return url.href;
}
