/** Control messages to the device's agent, and how long their acknowledgements take. */

/** Messages whose acknowledgement is awaited; the oldest is forgotten first. */
const PENDING = 256;

/** Round trips of which the median is shown. */
const ROUND_TRIPS = 64;

/**
 * @typedef {object} ControlFigures
 * @property {number | null} lastMs
 * @property {number | null} medianMs
 * @property {number} acks
 * @property {string | null} via what the last message took: data channel or WebSocket
 * @property {boolean | null} agent whether the device has an agent; null before it mattered
 */
export class Control {
  #seq = 0;
  /** @type {Map<number, number>} send times by sequence number */
  #pending = new Map();
  /** @type {number[]} */
  #roundTrips = [];
  #acks = 0;
  #via = null;
  #agent = null;
  #transmit;
  #now;

  /**
   * @param {(message: object) => string | null} transmit
   * @param {() => number} now milliseconds; a parameter for the tests
   */
  constructor(transmit, now = () => performance.now()) {
    this.#transmit = transmit;
    this.#now = now;
  }

  /**
   * Sends one action. While the device is known to have no agent, what comes in streams is not sent at all: the next
   * touch or key finds out whether that is still so.
   *
   * @returns {boolean} whether it left
   */
  send(action, fields = {}) {
    const streams = action === 'scroll' || fields.phase === 'move';
    if (streams && this.#agent === false) return false;
    const seq = this.#seq + 1;
    const via = this.#transmit({ type: 'control', seq, action, ...fields });
    if (via === null) return false;
    this.#seq = seq;
    this.#via = via;
    this.#pending.set(seq, this.#now());
    if (this.#pending.size > PENDING) this.#pending.delete(this.#pending.keys().next().value);
    return true;
  }

  /** Takes an `ack`, or an `error` that names a message of ours. Says whether it was one. */
  receive(message) {
    const sentAt = this.#pending.get(message.seq);
    if (sentAt === undefined) return false;
    this.#pending.delete(message.seq);
    if (message.type === 'ack') {
      this.#agent = true;
      this.#acks += 1;
      this.#roundTrips.push(this.#now() - sentAt);
      if (this.#roundTrips.length > ROUND_TRIPS) this.#roundTrips.shift();
      return true;
    }
    if (message.code === 'no_agent') {
      this.#agent = false;
      return true;
    }
    return false;
  }

  /** A new session begins from nothing: what was under way is lost, and the agent may have come. */
  reset() {
    this.#pending.clear();
    this.#roundTrips = [];
    this.#acks = 0;
    this.#via = null;
    this.#agent = null;
  }

  /** @returns {ControlFigures} */
  get figures() {
    return {
      lastMs: this.#roundTrips.at(-1) ?? null,
      medianMs: median(this.#roundTrips),
      acks: this.#acks,
      via: this.#via,
      agent: this.#agent,
    };
  }
}

function median(values) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
