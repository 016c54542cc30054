/** What waits to be shown, the newest of it: a burst or a hidden tab costs no more than one full list. */
export class Recent {
  #items = [];
  #bound;
  /** Items that were left out. */
  dropped = 0;

  constructor(bound) {
    this.#bound = bound;
  }

  get length() {
    return this.#items.length;
  }

  push(item) {
    this.#items.push(item);
    // Cut in large pieces: one by one, each would move all the others.
    if (this.#items.length >= 2 * this.#bound) this.#cut();
  }

  /** All that is left of them, oldest first; there are none afterwards. */
  take() {
    this.#cut();
    const items = this.#items;
    this.#items = [];
    return items;
  }

  #cut() {
    const excess = Math.max(0, this.#items.length - this.#bound);
    this.#items.splice(0, excess);
    this.dropped += excess;
  }
}
