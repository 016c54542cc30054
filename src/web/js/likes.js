/** Likes are gathered for so long, in ms: a finger is faster than a member may send. */
const GATHER_MS = 500;

/** Likes that one message may say. */
const LIKES = 99;

/** A room's likes since the page came, and ours on their way. */
export class Likes {
  count = 0;
  #unsent = 0;
  #timer = null;
  #send;

  /** @param {(count: number) => void} send */
  constructor(send) {
    this.#send = send;
  }

  /** One of ours. */
  add() {
    this.#unsent = Math.min(this.#unsent + 1, LIKES);
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (this.#unsent > 0) this.#send(this.#unsent);
      this.#unsent = 0;
    }, GATHER_MS);
  }

  /** Counts a message of the room, whatever others send in it. */
  heard({ data }) {
    const count = data?.count;
    this.count += Number.isSafeInteger(count) && count > 0 ? Math.min(count, LIKES) : 1;
  }

  clear() {
    this.count = this.#unsent = 0;
  }
}
