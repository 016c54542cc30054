/** The server's HTTP interface, as far as the page needs it. */

/** What the server takes for device and user ids. */
const ID = /^[A-Za-z0-9._:@-]{1,128}$/;

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
}

export function isId(text) {
  return ID.test(text);
}

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
  const body = await getJson('/api/media/devices');
  if (!Array.isArray(body.devices)) throw new TypeError('the answer has no list of devices');
  return body.devices.filter((device) => typeof device?.deviceId === 'string');
}

/** Why the viewer's WebSocket could not be opened, in words: the browser itself does not tell. */
export async function explainRefusal(deviceId) {
  if (!navigator.onLine) return 'This computer is offline.';
  try {
    await getJson(`/api/media/devices/${encodeURIComponent(deviceId)}`);
  } catch (error) {
    if (!(error instanceof ApiError)) return 'The server cannot be reached.';
    // A device that is not known yet may be watched all the same, so 404 explains nothing.
    if (error.status !== 404) return `The server refused the connection: ${error.message}.`;
  }
  return 'The server refused the connection.';
}

/** Address of the viewer's WebSocket. */
export function viewerSocketUrl(deviceId, userId) {
  const url = new URL('/api/media/ws', location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = new URLSearchParams({ deviceId, userId }).toString();
  return url.href;
}

async function getJson(path) {
  const response = await fetch(path, {
    headers: { accept: 'application/json' },
    cache: 'no-store',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(response.status, body ?? {});
  return body ?? {};
}
