import { Lanes } from './lanes.js';

/** Messages on the stage at once: a hundred cost less than 2 ms a frame on a small laptop. */
export const ON_STAGE = 100;

/** Messages that wait for a lane. */
export const WAITING = 40;

/** A message that has waited for so long, in ms, is old news and does not fly; it is in the chat all the same. */
export const PATIENCE_MS = 1500;

/**
 * Decides which messages fly. What comes faster than the lanes can take does not: our own first, then the newest.
 *
 * @typedef {{text: string, own: boolean, gift?: boolean}} Item
 */
export class Flights {
  lanes = new Lanes();
  /** @type {(import('./lanes.js').Flight & {item: Item})[]} the oldest first */
  flying = [];
  started = 0;
  skipped = 0;
  /** @type {{item: Item, since: number, width: number | null}[]} */
  #waiting = [];

  /** Whether there is anything to draw or to start. */
  get busy() {
    return this.flying.length > 0 || this.#waiting.length > 0;
  }

  /** @param {Item} item */
  offer(item, now) {
    const entry = { item, since: now, width: null };
    if (item.own) this.#waiting.unshift(entry);
    else this.#waiting.push(entry);
    if (this.#waiting.length <= WAITING) return;
    const oldest = this.#waiting.findIndex((waiting) => !waiting.item.own);
    this.#waiting.splice(Math.max(oldest, 0), 1);
    this.skipped += 1;
  }

  /**
   * Lands what is across and starts what has a lane now.
   *
   * @param {(item: Item) => number} measure width in CSS pixels; asked once an item
   * @returns {Item[]} what has landed
   */
  step(now, measure) {
    const landed = [];
    this.flying = this.flying.filter((flight) => {
      const flies = this.lanes.x(flight, now) !== null;
      if (!flies) landed.push(flight.item);
      return flies;
    });
    this.#waiting = this.#waiting.filter((entry) => {
      if (now - entry.since > PATIENCE_MS) {
        this.skipped += 1;
        return false;
      }
      return !this.#start(entry, now, measure);
    });
    return landed;
  }

  /** Takes everything off the stage. @returns {Item[]} what flew */
  clear() {
    const items = this.flying.map(({ item }) => item);
    this.flying = [];
    this.#waiting = [];
    this.lanes.clear();
    return items;
  }

  #start(entry, now, measure) {
    if (this.flying.length >= ON_STAGE) return false;
    entry.width ??= measure(entry.item);
    const flight = this.lanes.place(entry.width, now);
    if (flight === null) return false;
    this.flying.push({ ...flight, item: entry.item });
    this.started += 1;
    return true;
  }
}
