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
 */

/** @returns {Promise<Device[]>} */
export async function listDevices() {
  const body = await get('/api/media/devices');
  if (!Array.isArray(body.devices)) throw new TypeError('the answer has no list of devices');
  return body.devices.filter((device) => typeof device?.deviceId === 'string');
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
