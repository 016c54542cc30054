/** The server's media interface, as far as the page needs it. */

import { ApiError, get, socketUrl } from './http.js';

/**
 * @typedef {{codec: string, width: number | null, height: number | null, fps: number, bitrateBps: number}} Video
 *
 * @typedef {object} Device
 * @property {string} deviceId
 * @property {boolean} live
 * @property {Video | null} video
 * @property {{codec: string, bitrateBps?: number} | null} audio
 * @property {number} viewers
 * @property {{kind: string, address: string | null, since: string} | null} publisher
 * @property {boolean} agent whether something carries out control messages on it
 * @property {string | null} since when it went live, or last was
 *
 * @typedef {object} ShardLoad counters since the shard has started; without an answer of it only the first two are there
 * @property {number} shard
 * @property {boolean} up
 * @property {number} uptime_seconds the clock of the others
 * @property {number} busy_seconds
 * @property {number} cpu_seconds
 * @property {Record<string, number>} stage_seconds
 * @property {number} turns
 * @property {Array<{le: number, count: number}>} turn_buckets turns no longer than so many seconds, ascending
 * @property {number} longest_turn_seconds of late
 * @property {number} events
 * @property {number} datagrams_received
 * @property {number} receives
 * @property {number} datagrams_sent
 * @property {number} sends
 * @property {number} room_deliveries
 * @property {number} mailbox_depth
 * @property {number} mailbox_deepest of late
 * @property {number} hand_overs_in
 * @property {number} hand_overs_out
 * @property {number} connections
 * @property {number} sessions
 */

/** @returns {Promise<Device[]>} */
export async function listDevices() {
  const body = await get('/api/media/devices');
  if (!Array.isArray(body.devices)) throw new TypeError('the answer has no list of devices');
  return body.devices.filter((device) => typeof device?.deviceId === 'string');
}

/** @returns {Promise<ShardLoad[]>} by index */
export async function shardLoads() {
  const body = await get('/api/v1/stats/shards');
  if (!Array.isArray(body.shards)) throw new TypeError('the answer has no list of shards');
  return body.shards;
}

/** Why the viewer's WebSocket could not be opened, in words: the browser itself does not tell. */
export async function explainRefusal(deviceId) {
  if (!navigator.onLine) return 'This computer is offline.';
  try {
    await get(`/api/media/devices/${encodeURIComponent(deviceId)}`);
  } catch (error) {
    if (!(error instanceof ApiError)) return 'The server cannot be reached.';
    // A device that is not known yet may be watched all the same, so 404 explains nothing.
    if (error.status === 401) return 'Sign in to watch this device.';
    if (error.status !== 404) return `The server refused the connection. ${error.words}`;
  }
  return 'The server refused the connection.';
}

/** Address of the viewer's WebSocket. */
export function viewerSocketUrl(deviceId) {
  return socketUrl('/api/media/ws', { deviceId }, 'userId');
}
