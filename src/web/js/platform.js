/** The server's interface for live rooms and their users, as far as the page needs it. */

import { ApiError, get, request, socketUrl } from './http.js';
import { roomRefusal } from './words.js';

/** A room's status, as the server numbers it. */
export const STATUS = { idle: 0, live: 1, ended: 2 };

/** Rooms of one page of a list. */
const PAGE = 60;

/** Rooms of the ranking. */
const HOT = 100;

/** Viewers named in the list of a room's viewers. */
const VIEWERS = 200;

/** Messages shown of a room that has ended. */
const MESSAGES = 200;

/** Messages asked for of what a member has missed: as many as the server gives at once. */
const MISSED = 500;

/** Messages that a member gets when it comes. */
const RECENT = 50;

/**
 * @typedef {object} Room
 * @property {number} id
 * @property {string} anchor_id
 * @property {string} title
 * @property {string} cover empty: none
 * @property {number} status
 * @property {number} viewer_count
 * @property {string} [device_id]
 * @property {string} created_at
 * @property {string} updated_at
 *
 * @typedef {{room_id: number, title: string, heat: number, viewer_count: number}} HotRoom
 */

/** @returns {Promise<{rooms: Room[], next: string | null}>} */
export async function listRooms(status, cursor = null) {
  const query = new URLSearchParams({ status, limit: PAGE, ...(cursor === null ? {} : { cursor }) });
  const body = await get(`/api/v1/rooms?${query}`);
  return { rooms: list(body.rooms), next: typeof body.next_cursor === 'string' ? body.next_cursor : null };
}

/** @returns {Promise<Room>} */
export function getRoom(id) {
  return get(`/api/v1/rooms/${id}`);
}

/** @param {{title: string, cover: string, device_id?: string}} room @returns {Promise<Room>} */
export function createRoom(room) {
  return request('POST', '/api/v1/rooms', room);
}

/** @returns {Promise<Room>} */
export function startRoom(id) {
  return request('POST', `/api/v1/rooms/${id}/start`);
}

/** @returns {Promise<Room>} */
export function stopRoom(id) {
  return request('POST', `/api/v1/rooms/${id}/stop`);
}

/** Live rooms, the hottest first. @returns {Promise<HotRoom[]>} */
export async function hotRooms() {
  return list((await get(`/api/v1/stats/hot?limit=${HOT}`)).rooms);
}

/** @returns {Promise<{users: number, connections: number, rooms_live: number}>} */
export function online() {
  return get('/api/v1/stats/online');
}

/** @returns {Promise<{viewers: {user_id: string, joined_at: string}[], more: boolean}>} */
export async function viewersOf(id) {
  const body = await get(`/api/v1/rooms/${id}/viewers?limit=${VIEWERS}`);
  return { viewers: list(body.viewers), more: typeof body.next_cursor === 'string' };
}

/** What was said last in a room. */
export async function messagesOf(id) {
  return list((await get(`/api/v1/rooms/${id}/messages?last=${MESSAGES}`)).messages);
}

/** What was said after a message. @param {import('./order.js').Position} after @returns {Promise<import('./order.js').Stored>} */
export async function messagesAfter(id, { epoch, seq }) {
  const messages = list((await get(`/api/v1/rooms/${id}/messages?epoch=${epoch}&after=${seq}&limit=${MISSED}`)).messages);
  return { messages, more: messages.length === MISSED };
}

/** @returns {Promise<string>} a token */
export async function login(username, password) {
  const { token } = await request('POST', '/api/v1/users/login', { username, password });
  return token;
}

export function signUp(username, password) {
  return request('POST', '/api/v1/users', { username, password });
}

/** Address of a member's WebSocket. @param {import('./member.js').Position | null} after what was seen last */
export function memberSocketUrl(id, after) {
  const replay = after === null ? { recent: RECENT } : { since: after.seq, epoch: after.epoch };
  return socketUrl('/ws', { room_id: id, ...replay }, 'user_id');
}

/**
 * Why a member's WebSocket could not be opened: the browser itself does not tell.
 *
 * @returns {Promise<{state: 'retry' | 'refused' | 'idle' | 'ended', why: string}>}
 */
export async function explainMemberRefusal(id) {
  if (!navigator.onLine) return { state: 'retry', why: 'This computer is offline.' };
  try {
    const { status } = await getRoom(id);
    if (status === STATUS.idle) return { state: 'idle', why: '' };
    if (status === STATUS.ended) return { state: 'ended', why: '' };
    return { state: 'retry', why: 'The connection to the room was refused.' };
  } catch (error) {
    if (!(error instanceof ApiError)) return { state: 'retry', why: 'The server cannot be reached.' };
    return { state: roomRefusal(error) === null ? 'retry' : 'refused', why: error.words };
  }
}

function list(value) {
  return Array.isArray(value) ? value : [];
}
