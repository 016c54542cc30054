/** Lanes over the picture, in which messages fly from right to left without ever touching. */

/** How long a message is on its way across, in ms. Longer ones are faster, since all take the same time. */
export const FLIGHT_MS = 8000;

/** Lanes at most: more than this hide the picture. */
export const LANES = 12;

/** Between two messages of a lane, in CSS pixels. */
export const GAP = 28;

/** @typedef {{at: number, width: number, lane: number}} Flight `at`: when it began, on the caller's clock in ms */

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

  /** The topmost lane that has room for a message of this width now; null when none has. @returns {Flight | null} */
  place(width, now) {
    const lane = this.#last.findIndex((last) => last === null || this.#clear(last, width, now));
    if (lane < 0) return null;
    this.#last[lane] = { at: now, width, lane };
    return this.#last[lane];
  }

  clear() {
    this.#last.fill(null);
  }

  /** Left edge of a flight; null once it has landed. */
  x(flight, now) {
    const part = (now - flight.at) / FLIGHT_MS;
    return part >= 1 ? null : this.width - (this.width + flight.width) * part;
  }

  /** Whether a message of `width` that begins now stays behind `last` until that one has left the stage. */
  #clear(last, width, now) {
    const tail = this.x(last, now);
    if (tail === null) return true;
    const entered = tail + last.width + GAP <= this.width;
    const reachesLeft = now + (FLIGHT_MS * this.width) / (this.width + width);
    return entered && reachesLeft >= last.at + FLIGHT_MS;
  }
}
