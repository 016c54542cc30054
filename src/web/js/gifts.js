/** Gifts: what there is to give, and which banners are shown. */

/** In rising value, which moves the room's heat. `icon` names a symbol of the page. */
export const GIFTS = [
  { gift: 'rose', name: 'Rose', value: 1 },
  { gift: 'tea', name: 'Tea', value: 10 },
  { gift: 'star', name: 'Star', value: 66 },
  { gift: 'rocket', name: 'Rocket', value: 520 },
];

/** A gift of this value or more is shown large. */
export const GRAND = 500;

/** Banners shown at once. */
export const BANNERS = 3;

/** Banners that wait for a place; past it only the chat tells. */
export const QUEUE = 20;

/** How long a banner stays after the last gift that it counts, in ms. */
export const SHOWN_MS = 3500;

/** How many of a gift one message may say. */
const COUNT = 9999;

/** Icon, name and number of a gift message; whatever others send in it. */
export function readGift({ content, data }) {
  const known = GIFTS.find(({ gift }) => gift === data?.gift);
  const name = known?.name ?? (typeof content === 'string' && content !== '' ? content : 'A gift');
  const count = Number.isSafeInteger(data?.count) && data.count > 0 ? Math.min(data.count, COUNT) : 1;
  const value = typeof data?.value === 'number' && data.value >= 0 ? data.value : 0;
  return { icon: known?.gift ?? 'gift', name, count, value, grand: value * count >= GRAND };
}

/**
 * Which banners are shown: the same gift of the same user counts up on its banner while that is there.
 *
 * @typedef {{key: string, user: string, icon: string, name: string, count: number, until: number}} Banner
 */
export class Banners {
  /** @type {Banner[]} */
  shown = [];
  /** @type {Banner[]} */
  #queue = [];

  /** @param {ReturnType<typeof readGift>} gift */
  add(user, { icon, name, count }, now) {
    const key = `${user}\n${icon}\n${name}`;
    const there = this.shown.find((banner) => banner.key === key) ?? this.#queue.find((banner) => banner.key === key);
    if (there !== undefined) {
      there.count += count;
      there.until = now + SHOWN_MS;
    } else if (this.shown.length + this.#queue.length < BANNERS + QUEUE) {
      this.#queue.push({ key, user, icon, name, count, until: 0 });
    }
    this.step(now);
  }

  /** Takes down what was shown long enough, puts up what waits. */
  step(now) {
    this.shown = this.shown.filter(({ until }) => until > now);
    while (this.shown.length < BANNERS && this.#queue.length > 0) {
      this.shown.push({ ...this.#queue.shift(), until: now + SHOWN_MS });
    }
  }

  /** When the next one goes; null while there is none. */
  get next() {
    return this.shown.length === 0 ? null : Math.min(...this.shown.map(({ until }) => until));
  }

  clear() {
    this.shown = [];
    this.#queue = [];
  }
}
