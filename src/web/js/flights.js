import { Lanes } from './lanes.js';

/** Messages on the stage at once, those that are about to enter included. */
export const ON_STAGE = 100;

/** A message that would have to wait for its lane for longer than this, in ms, would be old news. */
export const PATIENCE_MS = 4000;

/**
 * Decides which messages fly. In a flood most cannot: one flies when fewer wait for their lanes than there are lanes,
 * however long it is, so that the stage shows a fair sample. Our own always wait.
 *
 * @typedef {{text: string, own: boolean}} Item
 */
export class Flights {
  lanes = new Lanes();
  /** @type {(import('./lanes.js').Flight & {item: Item})[]} */
  flying = [];
  started = 0;
  skipped = 0;

  /**
   * @param {Item} item
   * @param {(item: Item) => number} measure width in CSS pixels
   */
  offer(item, now, measure) {
    const flight = this.#fits(item, now) ? this.lanes.book(measure(item), now, now + PATIENCE_MS) : null;
    if (flight === null) {
      this.skipped += 1;
      return;
    }
    this.flying.push({ ...flight, item });
    this.started += 1;
  }

  /** Lands what is across. @returns {Item[]} what has landed */
  step(now) {
    const landed = [];
    this.flying = this.flying.filter((flight) => {
      const flies = this.lanes.x(flight, now) !== null;
      if (!flies) landed.push(flight.item);
      return flies;
    });
    return landed;
  }

  /** Takes everything off the stage. @returns {Item[]} what flew */
  clear() {
    const items = this.flying.map(({ item }) => item);
    this.flying = [];
    this.lanes.clear();
    return items;
  }

  #fits({ own }, now) {
    if (this.flying.length >= ON_STAGE) return false;
    return own || this.flying.filter(({ at }) => at > now).length < this.lanes.count;
  }
}
