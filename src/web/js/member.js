/** A member of a live room: its WebSocket, and all that makes it look as if that never broke. */

import { Backoff } from './backoff.js';
import { parseMessage } from './message.js';
import { Order } from './order.js';
import { OwnMessages } from './own.js';
import { closeCodeText, closingText, errorText } from './words.js';

/** A message without an acknowledgement for so long, in ms, on a connection from which nothing came: it is dead. */
const SILENCE_MS = 10_000;

/** A connection that has stood for this long, in ms, makes the next reconnection begin with the shortest delay. */
const STABLE_MS = 5000;

/** A connection that is not greeted by then, in ms, is given up. */
const HELLO_MS = 10_000;

/** What the server closes with when the room is over (RFC 6455 §7.4.1). */
const CLOSED_NORMALLY = 1000;

/** How often an own message's fate is looked at, in ms. */
const CHECK_MS = 1000;

/**
 * - `off`: not in the room; `connecting`; `live`: messages flow; `reconnecting`: by itself, after `why`;
 * - `idle`: not started; `ended`: over; `refused`: it makes no sense to try again.
 *
 * @typedef {'off' | 'connecting' | 'live' | 'reconnecting' | 'idle' | 'ended' | 'refused'} State
 * @typedef {import('./order.js').Position} Position
 * @typedef {import('./own.js').Own} Own
 *
 * @typedef {object} Hooks
 * @property {(after: Position | null) => string} url
 * @property {() => Promise<{state: 'retry' | 'idle' | 'ended' | 'refused', why: string}>} explain a refused connection
 * @property {(after: Position) => Promise<import('./order.js').Stored>} stored what is kept after that message
 * @property {() => void} onchange of `view`
 * @property {(message: object, own: Own | null, past: boolean) => void} onmessage in order, each once; `own`: it is that
 *     message of ours; `past`: it was said before we came
 * @property {(count: number) => void} onviewers how many there are now, ourselves too
 * @property {(presence: object) => void} onpresence
 * @property {(own: Own) => void} onown one of our messages has another state
 * @property {(text: string) => void} onnotice something to know that ended nothing
 */

/** States that only a new member leaves. */
const FINAL = ['idle', 'ended', 'refused'];

/** What browsers bring along; the tests bring their own. */
const BROWSER = {
  open: (url) => new WebSocket(url),
  now: () => performance.now(),
  random: Math.random,
  later: (what, ms) => setTimeout(what, ms),
  forget: (timer) => clearTimeout(timer),
  newId: randomId,
};

export class Member {
  /** @type {{state: State, why: string, retryAt: number | null, connections: number, received: number, gaps: number}} */
  view = { state: 'off', why: '', retryAt: null, connections: 0, received: 0, gaps: 0 };
  #order;
  #own = new OwnMessages();
  #hooks;
  #browser;
  #backoff;
  #socket = null;
  #greeted = false;
  #heardAt = 0;
  #closing = null;
  #retryTimer = null;
  #helloTimer = null;
  #checkTimer = null;

  /** @param {string} userId whose echoes are our own @param {Hooks} hooks */
  constructor(userId, hooks, browser = BROWSER) {
    this.userId = userId;
    this.#hooks = hooks;
    this.#browser = browser;
    this.#backoff = new Backoff(browser.random);
    this.#order = new Order({
      stored: hooks.stored,
      onmessage: (message, past) => this.#show(message, past),
      onack: ({ id }) => this.#settle(id, 'sent'),
      onhole: () => hooks.onnotice('Some messages may be missing here.'),
    });
  }

  /** The last message that was seen. @returns {Position | null} */
  get position() {
    return this.#order.position;
  }

  /** Enters the room, or tries at once where the next attempt is waited for. */
  connect() {
    if (this.#socket !== null) return;
    this.#browser.forget(this.#retryTimer);
    this.#greeted = false;
    this.#closing = null;
    const socket = this.#browser.open(this.#hooks.url(this.position));
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#receive(data);
    };
    socket.onclose = ({ code }) => {
      if (socket === this.#socket) this.#closed(code);
    };
    this.#helloTimer = this.#browser.later(() => this.#drop('The server does not answer.'), HELLO_MS);
    const again = this.view.connections > 0;
    this.#set({ state: again ? 'reconnecting' : 'connecting', retryAt: null, connections: this.view.connections + 1 });
  }

  /** Leaves for good. */
  close() {
    this.#letGo();
    this.#browser.forget(this.#retryTimer);
    this.#browser.forget(this.#checkTimer);
    this.#own.clear();
    this.view.state = 'off';
  }

  retryNow() {
    if (this.view.retryAt !== null) this.connect();
  }

  /** Connects anew: on another network the old socket would stay silent for many minutes. Nothing is missed by it. */
  renew() {
    if (this.#greeted) {
      this.#letGo();
      this.connect();
    } else {
      this.retryNow();
    }
  }

  /**
   * Sends a message that shall arrive for certain: again after a reconnection, under the same id.
   *
   * @returns {Own | null} null when so many are on their way that this one would have to wait
   */
  send(type, content, data) {
    if (this.#own.full) return null;
    const own = { id: this.#browser.newId(), type, content, data, state: 'pending', why: '', at: 0 };
    this.#own.add(own);
    this.#transmit(own);
    return own;
  }

  /** Sends a message that nobody misses. */
  sendLightly(type, content, data) {
    return this.#greeted && this.#write({ type, content, data });
  }

  /** Sends a failed message again. */
  retry(own) {
    if (own.state !== 'failed' || this.#own.full || FINAL.includes(this.view.state)) return;
    this.#own.add(own);
    this.#hooks.onown(own);
    this.#transmit(own);
  }

  /** Own messages that are not acknowledged. */
  get pending() {
    return this.#own.size;
  }

  #set(changes) {
    Object.assign(this.view, changes);
    this.#hooks.onchange();
  }

  #receive(data) {
    const message = parseMessage(data);
    if (message === null) return;
    this.#heardAt = this.#browser.now();
    if (message.type === 'hello') this.#hello(message);
    else if (message.type === 'error') this.#refused(errorText(message), message.id);
    else if (message.type === 'presence') this.#presence(message);
    else if (message.type === 'closing') this.#closing = message;
    else if (message.code === 'history_truncated') this.#order.truncated(message);
    else this.#order.receive(message);
  }

  #hello(hello) {
    this.#browser.forget(this.#helloTimer);
    this.#greeted = true;
    this.#forgiveWhenStable();
    if (this.#order.greet(hello)) this.#own.forgetEchoes();
    this.#count(hello);
    for (const own of this.#own.all) this.#transmit(own);
    this.#set({ state: 'live', why: '' });
  }

  /** Success is known only afterwards: a server that greets and drops us shall not be called twice a second. */
  #forgiveWhenStable() {
    const socket = this.#socket;
    this.#browser.later(() => {
      if (socket === this.#socket) this.#backoff.reset();
    }, STABLE_MS);
  }

  #presence(presence) {
    this.#count(presence);
    this.#hooks.onpresence(presence);
  }

  #count({ viewer_count: viewers }) {
    if (Number.isSafeInteger(viewers)) this.#hooks.onviewers(viewers);
  }

  #show(message, past) {
    this.view.received += 1;
    this.view.gaps = this.#order.gaps;
    const own = message.user_id === this.userId ? this.#own.echo(message) : null;
    this.#hooks.onmessage(message, own, past);
  }

  /** What names none of our messages is about the connection, or about a light one. */
  #refused(why, id) {
    if (!this.#settle(id, 'failed', why)) this.#hooks.onnotice(why);
  }

  #settle(id, state, why) {
    const own = this.#own.settle(id, state, why);
    if (own !== undefined) this.#hooks.onown(own);
    return own !== undefined;
  }

  #transmit(own) {
    if (!this.#greeted) return;
    own.at = this.#browser.now();
    const { type, content, data, id } = own;
    this.#write({ type, content, data, id });
    this.#browser.forget(this.#checkTimer);
    this.#checkTimer = this.#browser.later(() => this.#check(), CHECK_MS);
  }

  #write(message) {
    if (this.#socket?.readyState !== 1) return false; // OPEN
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Finds out that a phone changed its network: the socket of the old one stays silent for many minutes. */
  #check() {
    if (this.#own.size === 0 || !this.#greeted) return;
    const oldest = Math.max(this.#own.oldest.at, this.#heardAt);
    if (this.#browser.now() - oldest >= SILENCE_MS) this.#drop('The connection went silent.');
    else this.#checkTimer = this.#browser.later(() => this.#check(), CHECK_MS);
  }

  #drop(why) {
    this.#letGo();
    this.#retry(why);
  }

  async #closed(code) {
    const greeted = this.#greeted;
    const closing = this.#closing;
    this.#letGo();
    if (closing !== null && code === CLOSED_NORMALLY) {
      this.#finish('ended', closingText(closing.reason, 'The room is over'));
    } else if (greeted) {
      this.#retry(closing === null ? closeCodeText(code) : closingText(closing.reason, 'Disconnected'));
    } else {
      const attempt = this.view.connections;
      const { state, why } = await this.#hooks.explain();
      const overtaken = this.view.state === 'off' || this.#socket !== null || attempt !== this.view.connections;
      if (overtaken) return;
      if (state === 'retry') this.#retry(why);
      else this.#finish(state, why);
    }
  }

  #finish(state, why) {
    for (const { id } of this.#own.all) this.#settle(id, 'failed', 'Not sent');
    this.#set({ state, why, retryAt: null });
  }

  #retry(why) {
    const delay = this.#backoff.next();
    this.#retryTimer = this.#browser.later(() => this.connect(), delay);
    this.#set({ state: 'reconnecting', why, retryAt: this.#browser.now() + delay });
  }

  #letGo() {
    const socket = this.#socket;
    this.#socket = null;
    this.#greeted = false;
    this.#order.broken();
    this.#browser.forget(this.#helloTimer);
    socket?.close(1000);
  }
}

/** Unique beyond chance; `crypto.randomUUID` is missing where the page came over plain HTTP. */
function randomId() {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(36)).join('');
}
