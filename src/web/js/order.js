import { Recent } from './recent.js';

/** Messages held while the store is asked: some seconds of the liveliest room. */
const HELD = 2000;

/**
 * The order of a room's messages as one member sees them: each once, and what the room no longer holds, or lost with
 * its epoch, from the store, before what comes.
 *
 * @typedef {{epoch: number, seq: number}} Position of a message
 * @typedef {{messages: (object & Position)[], more: boolean}} Stored oldest first; `more`: and others after them
 *
 * @typedef {object} OrderHooks
 * @property {(after: Position) => Promise<Stored>} stored what is kept after that message
 * @property {(message: object, past: boolean) => void} onmessage in order, each once; `past`: it was said before we came
 * @property {(ack: object) => void} onack after what it acknowledges
 * @property {() => void} onhole something between what was shown last and what is shown next is missing
 */
export class Order {
  /** @type {Position | null} the last message that was seen */
  position = null;
  /** Numbers that were left out without a word. */
  gaps = 0;
  #hooks;
  #epoch = null;
  /** The room's last message when it greeted us. */
  #past = 0;
  /** The first message that the room itself sends us after a greeting. */
  #from = 1;
  /** Whether what comes next may leave out numbers: the server has said so, or it is the first of a replay. */
  #jumping = true;
  /** @type {Recent | null} what waits for the answer of the store */
  #held = null;

  /** @param {OrderHooks} hooks */
  constructor(hooks) {
    this.#hooks = hooks;
  }

  /** The room's `hello`. @returns {boolean} whether its messages count anew */
  greet({ epoch, seq }) {
    this.#past = seq;
    this.#from = 1;
    if (this.position?.epoch === epoch) return false;
    this.#epoch = epoch;
    this.#jumping = true;
    if (this.position !== null) this.#catchUp();
    // Where there are no messages yet, even the first one can be missed.
    else if (seq === 0) this.position = { epoch, seq: 0 };
    return true;
  }

  /** The room holds less than it was asked for. */
  truncated({ from }) {
    this.#from = from;
    this.#jumping = true;
    if (this.position !== null && this.#held === null) this.#catchUp();
  }

  /** A message of the room, or an acknowledgement. */
  receive(message) {
    if (this.#held !== null) this.#held.push(message);
    else if (message.type === 'ack') this.#hooks.onack(message);
    else if (Number.isSafeInteger(message.seq)) this.#numbered(message);
  }

  /** The connection is gone: the next one begins where the last message was shown. */
  broken() {
    this.#held = null;
  }

  #numbered(message) {
    const last = this.position?.seq ?? 0;
    if (this.position !== null && message.seq <= last) return;
    if (!this.#jumping && message.seq !== last + 1) this.gaps += 1;
    this.#jumping = false;
    this.position = { epoch: this.#epoch, seq: message.seq };
    this.#hooks.onmessage(message, message.seq <= this.#past);
  }

  async #catchUp() {
    const held = (this.#held = new Recent(HELD));
    const stored = await this.#hooks.stored(this.position).catch(() => null);
    if (held !== this.#held) return;
    this.#held = null;
    const begin = { epoch: this.#epoch, seq: this.#from };
    const { messages, complete } = between(this.position, begin, stored);
    for (const message of messages) this.#hooks.onmessage(message, true);
    const waiting = held.take();
    const overflowed = held.dropped > 0;
    if (!complete || overflowed) this.#hooks.onhole();
    this.position = { ...begin, seq: begin.seq - 1 };
    this.#jumping = overflowed;
    for (const message of waiting) this.receive(message);
  }
}

/**
 * What is stored after one message and before another, and whether that is all there was. How many an epoch had before
 * its server crashed nobody knows; what is lost with it cannot be got, so it does not count.
 *
 * @param {Position} after @param {Position} begin @param {Stored | null} stored null: it could not be asked
 */
export function between(after, begin, stored) {
  if (stored === null) return { messages: [], complete: false };
  const messages = stored.messages.filter((message) => isLater(message, after) && isLater(begin, message));
  let last = after;
  let holes = 0;
  for (const message of [...messages, begin]) {
    holes += Number(message.seq !== (message.epoch === last.epoch ? last.seq + 1 : 1));
    last = message;
  }
  const cut = stored.more && isLater({ ...begin, seq: begin.seq - 1 }, stored.messages.at(-1));
  return { messages, complete: holes === 0 && !cut };
}

function isLater(one, other) {
  return one.epoch > other.epoch || (one.epoch === other.epoch && one.seq > other.seq);
}
