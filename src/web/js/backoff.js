/** First and longest delay between two attempts to reconnect, in ms. */
const FIRST_MS = 500;
const LONGEST_MS = 8000;

/** Growing delays with jitter, so that the viewers of a server that went away do not come back as one. */
export class Backoff {
  #failures = 0;
  #random;

  /** @param {() => number} random in 0..1; a parameter for the tests */
  constructor(random = Math.random) {
    this.#random = random;
  }

  /** Attempts since the last success. */
  get failures() {
    return this.#failures;
  }

  /** The delay before the next attempt in ms: between half and all of 0.5, 1, 2, 4, 8, 8 … s. */
  next() {
    const full = Math.min(FIRST_MS * 2 ** this.#failures, LONGEST_MS);
    this.#failures += 1;
    return Math.round(full * (0.5 + this.#random() / 2));
  }

  reset() {
    this.#failures = 0;
  }
}
