import { explainRefusal } from './api.js';
import { Backoff } from './backoff.js';
import { isId } from './ids.js';
import { Session } from './session.js';
import { HISTORY, Meter } from './stats.js';
import { errorText } from './words.js';

/** Between two readings of the statistics, in ms. */
const READ_MS = 1000;

/** Readings without a decoded frame after which the picture counts as stalled. */
const STALL_READINGS = 2;

/** A session that has stood for this long, in ms, makes the next reconnection begin with the shortest delay again. */
const STABLE_MS = 5000;

/**
 * What a person in front of the page is told.
 *
 * - `idle`: nothing is watched; `connecting`: the first session is being made;
 * - `waiting`: connected, no picture yet; `playing`; `stalled`: the picture stands still;
 * - `reconnecting`: by itself, after `why`; `failed`: it makes no sense to try again.
 *
 * @typedef {'idle' | 'connecting' | 'waiting' | 'playing' | 'stalled' | 'reconnecting' | 'failed'} State
 *
 * @typedef {object} View
 * @property {string | null} deviceId
 * @property {State} state
 * @property {string} why of the last end of a session, or of failing
 * @property {string} notice something to know besides: an error of the server that ended nothing
 * @property {number | null} retryAt when the next attempt begins, on the clock of `performance.now()`
 * @property {string | null} sessionId
 * @property {string | null} ice
 * @property {number} sessions made since the device was opened
 * @property {number | null} joinMs from the click to the first picture
 * @property {number | null} rejoinMs from the last loss to the picture after it
 * @property {number} shown frames put on the screen
 * @property {import('./stats.js').Figures | null} figures
 * @property {{fps: number[], bitrate: number[]}} history
 * @property {object | null} server the session's quality as the server sees it
 */

/** @returns {View} */
const blank = () => ({
  deviceId: null,
  state: 'idle',
  why: '',
  notice: '',
  retryAt: null,
  sessionId: null,
  ice: null,
  sessions: 0,
  joinMs: null,
  rejoinMs: null,
  shown: 0,
  figures: null,
  history: { fps: [], bitrate: [] },
  server: null,
});

/** Plays one device and keeps at it: a session that ends is followed by another one. */
export class Player {
  view = blank();
  #video;
  #still;
  #hooks;
  /** @type {Session | null} */
  #session = null;
  #meter = new Meter();
  #backoff = new Backoff();
  #retryTimer = null;
  #readTimer = null;
  #startedAt = 0;
  #connectedAt = null;
  #pictureSeen = false;
  #framelessReadings = 0;

  /**
   * @param {HTMLVideoElement} video
   * @param {HTMLCanvasElement} still keeps the last picture while there is no session
   * @param {{onchange: () => void, onsession: () => void, onmessage: (message: object) => boolean}} hooks
   *     `onmessage` sees every message first and says whether it was for it
   */
  constructor(video, still, hooks) {
    this.#video = video;
    this.#still = still;
    this.#hooks = hooks;
    this.#followFrames();
    window.addEventListener('online', () => this.retryNow());
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.retryNow();
    });
  }

  /** Watches a device; `clickedAt`, on the clock of `performance.now()`, is where its join time begins. */
  open(deviceId, clickedAt) {
    this.close();
    this.view = { ...blank(), deviceId, state: 'connecting' };
    this.#startedAt = clickedAt;
    this.#readTimer = setInterval(() => this.#read(), READ_MS);
    if (!isId(deviceId)) this.#fail('This is not the name of a device: 1 to 128 of A–Z a–z 0–9 . _ : @ -');
    else if (!('RTCPeerConnection' in window)) this.#fail('This browser has no WebRTC.');
    else this.#connect();
  }

  close() {
    clearTimeout(this.#retryTimer);
    clearInterval(this.#readTimer);
    this.#session?.close();
    this.#session = null;
    this.#video.srcObject = null;
    this.#still.hidden = true;
    this.#pictureSeen = false;
    this.#backoff.reset();
    this.view = blank();
    this.#hooks.onchange();
  }

  /** Does not wait any longer where the next attempt is waited for. */
  retryNow() {
    if (this.view.retryAt !== null) this.#connect();
  }

  /** Sends a message to the server; says what it took, null when nothing is open. */
  send(message) {
    return this.#session?.send(message) ?? null;
  }

  /** Tells the person something besides the state; an empty text takes it back. */
  note(notice) {
    if (this.view.notice !== notice) this.#set({ notice });
  }

  #set(changes) {
    Object.assign(this.view, changes);
    this.#hooks.onchange();
  }

  #connect() {
    clearTimeout(this.#retryTimer);
    this.#meter = new Meter();
    this.#connectedAt = null;
    this.#pictureSeen = false;
    this.#framelessReadings = 0;
    this.#hooks.onsession();
    const { deviceId } = this.view;
    const session = new Session(deviceId, {
      onoffer: (sessionId) => this.#set({ sessionId: sessionId ?? this.view.sessionId }),
      onstream: (stream) => this.#play(stream),
      onconnected: () => this.#connected(),
      onice: (ice) => this.#set({ ice }),
      onmessage: (message) => this.#receive(message),
      onend: async (why) => {
        const text = why ?? (await explainRefusal(deviceId));
        if (this.#session === session) this.#lost(text);
      },
    });
    this.#session = session;
    this.#set({ retryAt: null, notice: '', sessions: this.view.sessions + 1 });
  }

  #play(stream) {
    if (this.#video.srcObject !== stream) this.#video.srcObject = stream;
    // Refused when the page was left meanwhile; the element plays by itself as soon as it may.
    this.#video.play().catch(() => {});
  }

  #connected() {
    this.#connectedAt ??= performance.now();
    if (!this.#pictureSeen) this.#set({ state: 'waiting' });
  }

  #receive(message) {
    if (this.#hooks.onmessage(message)) return;
    if (message.type === 'stats') this.#set({ server: message });
    else if (message.type === 'error') this.#set({ notice: errorText(message) });
  }

  #lost(why) {
    this.#keepStill();
    this.#session = null;
    if (this.#pictureSeen) this.#startedAt = performance.now();
    this.#pictureSeen = false;
    const delay = this.#backoff.next();
    this.#retryTimer = setTimeout(() => this.#connect(), delay);
    this.#set({
      state: 'reconnecting',
      why,
      retryAt: performance.now() + delay,
      sessionId: null,
      ice: null,
      figures: null,
      server: null,
    });
  }

  #fail(why) {
    this.#set({ state: 'failed', why });
  }

  #keepStill() {
    const { videoWidth: width, videoHeight: height } = this.#video;
    if (!this.#pictureSeen || width === 0) return;
    Object.assign(this.#still, { width, height });
    this.#still.getContext('2d').drawImage(this.#video, 0, 0);
    this.#still.hidden = false;
  }

  #followFrames() {
    const video = this.#video;
    if ('requestVideoFrameCallback' in video) {
      const follow = () => {
        this.#frame();
        video.requestVideoFrameCallback(follow);
      };
      video.requestVideoFrameCallback(follow);
    } else {
      video.addEventListener('timeupdate', () => this.#frame());
    }
  }

  #frame() {
    if (this.#session === null) return;
    this.view.shown += 1;
    if (!this.#pictureSeen) this.#firstPicture();
    else if (this.view.state === 'stalled') this.#set({ state: 'playing' });
  }

  #firstPicture() {
    this.#pictureSeen = true;
    this.#framelessReadings = 0;
    this.#still.hidden = true;
    const took = performance.now() - this.#startedAt;
    const first = this.view.joinMs === null;
    this.#set({ state: 'playing', why: '', notice: '', ...(first ? { joinMs: took } : { rejoinMs: took }) });
  }

  async #read() {
    const session = this.#session;
    const report = await session?.stats();
    if (!report || session !== this.#session) {
      this.#hooks.onchange();
      return;
    }
    const stood = this.#connectedAt !== null && performance.now() - this.#connectedAt > STABLE_MS;
    if (stood) this.#backoff.reset();
    const figures = this.#meter.read(report);
    if (figures === null) return;
    this.#remember(figures);
    this.#framelessReadings = figures.newFrames === 0 ? this.#framelessReadings + 1 : 0;
    const stalled = this.view.state === 'playing' && this.#framelessReadings >= STALL_READINGS;
    this.#set({ figures, ...(stalled ? { state: 'stalled' } : {}) });
  }

  #remember({ fps, bitrateBps }) {
    const { history } = this.view;
    history.fps.push(fps ?? 0);
    history.bitrate.push(bitrateBps ?? 0);
    if (history.fps.length > HISTORY) {
      history.fps.shift();
      history.bitrate.shift();
    }
  }
}
