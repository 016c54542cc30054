/**
 * A message of ours on its way.
 *
 * @typedef {object} Own
 * @property {string} id
 * @property {string} type
 * @property {string} content
 * @property {object | undefined} data
 * @property {'pending' | 'shown' | 'sent' | 'failed'} state shown: the room has it; sent: it is kept, too
 * @property {string} why it failed
 * @property {number} at when it last left, on the clock of the member
 */

/** Messages on their way at once. Fewer than a member may send at once, since all go again together. */
const PENDING = 16;

/** Our own messages until each is acknowledged or refused, in the order in which they were sent. */
export class OwnMessages {
  /** @type {Map<string, Own>} */
  #messages = new Map();

  get size() {
    return this.#messages.size;
  }

  get full() {
    return this.#messages.size >= PENDING;
  }

  /** @returns {Own | undefined} */
  get oldest() {
    return this.#messages.values().next().value;
  }

  /** @returns {Own[]} */
  get all() {
    return [...this.#messages.values()];
  }

  /** @param {Own} own */
  add(own) {
    Object.assign(own, { state: 'pending', why: '' });
    this.#messages.set(own.id, own);
  }

  /** The message of ours that came back: in the order in which they left, without their ids. @returns {Own | null} */
  echo({ type, content }) {
    const own = this.all.find((own) => own.state === 'pending' && own.type === type && own.content === content);
    if (own !== undefined) own.state = 'shown';
    return own ?? null;
  }

  /** What the room has shown may be lost with its epoch, and is shown again. */
  forgetEchoes() {
    for (const own of this.#messages.values()) own.state = 'pending';
  }

  /** The message is through, or refused. @returns {Own | undefined} */
  settle(id, state, why = '') {
    const own = this.#messages.get(id);
    if (own === undefined) return undefined;
    this.#messages.delete(id);
    return Object.assign(own, { state, why });
  }

  clear() {
    this.#messages.clear();
  }
}
