/** Lanes over the picture, in which messages fly from right to left without ever touching. */

/** How long a message is on its way across, in ms. Longer ones are faster, since all take the same time. */
export const FLIGHT_MS = 8000;

/** Lanes at most: more than this hide the picture. */
export const LANES = 12;

/** Between two messages of a lane as the second one enters, in CSS pixels. */
export const GAP = 28;

/** @typedef {{at: number, width: number, lane: number}} Flight `at`: when it begins, on the caller's clock in ms */

export class Lanes {
  /** Width of the stage. */
  width = 0;
  /** @type {(Flight | null)[]} the last one of each lane */
  #last = [];

  get count() {
    return this.#last.length;
  }

  /** Fits the stage's size; what flies goes on. */
  resize(width, height, laneHeight) {
    this.width = width;
    const count = Math.max(0, Math.min(LANES, Math.floor(height / laneHeight)));
    this.#last = Array.from({ length: count }, (_, lane) => this.#last[lane] ?? null);
  }

  /**
   * Books the lane that has room for a message of this width first, the topmost of several.
   *
   * @param {number} latest when it has to begin
   * @returns {Flight | null} null when no lane has room by then
   */
  book(width, now, latest) {
    const times = this.#last.map((last) => Math.max(now, this.#free(last, width)));
    const at = Math.min(...times);
    if (!(at <= latest)) return null;
    const lane = times.indexOf(at);
    this.#last[lane] = { at, width, lane };
    return this.#last[lane];
  }

  clear() {
    this.#last.fill(null);
  }

  /** Left edge of a flight, right of the stage while it has not begun; null once it has landed. */
  x(flight, now) {
    const part = (now - flight.at) / FLIGHT_MS;
    return part >= 1 ? null : this.width - (this.width + flight.width) * part;
  }

  /** From when on a message of `width` stays behind `last` until that one has left the stage. */
  #free(last, width) {
    if (last === null) return -Infinity;
    const entered = (FLIGHT_MS * (last.width + GAP)) / (this.width + last.width);
    const across = (FLIGHT_MS * this.width) / (this.width + width);
    return last.at + Math.max(entered, FLIGHT_MS - across);
  }
}
