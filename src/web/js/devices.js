import { listDevices } from './api.js';
import { ApiError } from './http.js';

/** Between two polls of the list, in ms. */
const POLL_MS = 2000;

/** The same where the server does not list its devices to us, until another user asks. */
const REFUSED_MS = 30_000;

/** Statuses of a server that is there and does not tell us. */
const REFUSED = [401, 403];

/** Bitrates remembered per device for its trend: two minutes of polls. */
const HISTORY = 60;

/**
 * The devices as the server lists them, polled while the page is visible.
 *
 * @typedef {import('./api.js').Device} Device
 * @typedef {object} Fleet
 * @property {Device[]} devices
 * @property {boolean} known whether the server has ever told us
 * @property {boolean | null} reachable null before the first answer
 * @property {number} since when that last changed, on the clock of `performance.now()`
 * @property {ApiError | null} refusal why the server, which is there, does not tell
 */
export class Devices {
  /** @type {Fleet} */
  fleet = { devices: [], known: false, reachable: null, since: performance.now(), refusal: null };
  /** @type {Map<string, number[]>} */
  #history = new Map();
  #timer = null;
  /** @type {symbol | null} the poll that is on its way */
  #polling = null;
  #onchange;

  /** @param {(fleet: Fleet) => void} onchange */
  constructor(onchange) {
    this.#onchange = onchange;
    document.addEventListener('visibilitychange', () => this.poll());
    window.addEventListener('online', () => this.poll());
  }

  /** Asks now, and from then on each `POLL_MS` while the page is visible. */
  async poll() {
    clearTimeout(this.#timer);
    if (document.hidden || this.#polling !== null) return;
    const poll = (this.#polling = Symbol());
    const answer = await listDevices().catch((error) => error);
    if (poll !== this.#polling) return;
    this.#polling = null;
    this.#take(answer);
    this.#onchange(this.fleet);
    const wait = this.fleet.refusal === null ? POLL_MS : REFUSED_MS;
    if (!document.hidden) this.#timer = setTimeout(() => this.poll(), wait);
  }

  /** Somebody else asks: what the last one was told is forgotten, also what is on its way. */
  renew() {
    this.#polling = null;
    this.#history.clear();
    this.fleet = { ...this.fleet, devices: [], known: false, refusal: null };
    this.#onchange(this.fleet);
    this.poll();
  }

  /** @returns {Device | undefined} */
  find(deviceId) {
    return this.fleet.devices.find((device) => device.deviceId === deviceId);
  }

  /** The device's video bitrates of the last polls, oldest first. */
  history(deviceId) {
    return this.#history.get(deviceId) ?? [];
  }

  /** @param {Device[] | Error} answer */
  #take(answer) {
    if (Array.isArray(answer)) {
      this.#accept(answer);
      return;
    }
    const refused = answer instanceof ApiError && REFUSED.includes(answer.status);
    this.#setReachable(refused);
    if (refused) this.fleet = { ...this.fleet, devices: [], known: false, refusal: answer };
  }

  #accept(devices) {
    devices.sort((a, b) => Number(b.live) - Number(a.live) || a.deviceId.localeCompare(b.deviceId));
    const history = new Map();
    for (const { deviceId, live, video } of devices) {
      const values = this.history(deviceId).slice(1 - HISTORY);
      values.push(live ? (video?.bitrateBps ?? 0) : 0);
      history.set(deviceId, values);
    }
    this.#history = history;
    this.#setReachable(true);
    this.fleet = { ...this.fleet, devices, known: true, refusal: null };
  }

  #setReachable(reachable) {
    if (this.fleet.reachable === reachable) return;
    this.fleet = { ...this.fleet, reachable, since: performance.now() };
  }
}
