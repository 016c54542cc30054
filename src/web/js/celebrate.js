import { Banners, readGift } from './gifts.js';
import { icon, make, setText } from './ui.js';

/** Hearts on the stage at once. */
const HEARTS = 14;

/** How long a heart rises, and a large gift is shown, in ms. */
const HEART_MS = 1800;
const GRAND_MS = 2400;

/** Colours of hearts. */
const COLOURS = ['#ff5c7c', '#ff8fa3', '#ffb056', '#c78bff', '#6ec3ff'];

/** Gifts and likes over the picture: banners that count, a large gift, rising hearts. */
export class Celebration {
  #banners = new Banners();
  #list;
  #effects;
  /** @type {Map<string, HTMLElement>} */
  #shown = new Map();
  #timer = null;
  #still = window.matchMedia('(prefers-reduced-motion: reduce)');

  /** @param {{banners: HTMLElement, effects: HTMLElement}} refs */
  constructor({ banners, effects }) {
    this.#list = banners;
    this.#effects = effects;
  }

  /** @param {object} message of type `gift` */
  gift(message) {
    if (document.hidden) return;
    const gift = readGift(message);
    this.#banners.add(`${message.user_id}`, gift, performance.now());
    this.#render();
    if (gift.grand) this.#grand(gift);
  }

  like() {
    if (document.hidden || this.#still.matches || this.#effects.childElementCount >= HEARTS) return;
    const heart = icon('heart');
    heart.classList.add('heart');
    heart.style.color = COLOURS[Math.floor(Math.random() * COLOURS.length)];
    const drift = Math.random() * 80 - 40;
    this.#play(heart, HEART_MS, [
      { transform: 'translate(0, 0) scale(0.4)', opacity: 0 },
      { transform: `translate(${drift / 3}px, -40px) scale(1)`, opacity: 1, offset: 0.2 },
      { transform: `translate(${drift}px, -190px) scale(1.1)`, opacity: 0 },
    ]);
  }

  clear() {
    clearTimeout(this.#timer);
    this.#banners.clear();
    this.#render();
    this.#effects.replaceChildren();
  }

  #grand({ icon: symbol }) {
    if (this.#still.matches || this.#effects.querySelector('.grand') !== null) return;
    const large = icon(`gift-${symbol}`);
    large.classList.add('grand');
    this.#play(large, GRAND_MS, [
      { transform: 'translate(-60%, 60%) scale(0.3)', opacity: 0 },
      { transform: 'translate(0, 0) scale(1)', opacity: 1, offset: 0.25 },
      { transform: 'translate(0, -6%) scale(1.05)', opacity: 1, offset: 0.7 },
      { transform: 'translate(80%, -160%) scale(0.8)', opacity: 0 },
    ]);
  }

  #play(element, duration, keyframes) {
    this.#effects.append(element);
    const animation = element.animate(keyframes, { duration, easing: 'ease-out', fill: 'both' });
    animation.onfinish = animation.oncancel = () => element.remove();
  }

  #render() {
    const there = new Set();
    for (const banner of this.#banners.shown) {
      there.add(banner.key);
      const element = this.#shown.get(banner.key) ?? this.#put(banner);
      const count = element.querySelector('.times');
      const text = `×${banner.count}`;
      if (count.textContent === text) continue;
      setText(count, text);
      if (!this.#still.matches) count.animate([{ transform: 'scale(1.7)' }, { transform: 'scale(1)' }], { duration: 220 });
    }
    for (const [key, element] of this.#shown) {
      if (there.has(key)) continue;
      element.remove();
      this.#shown.delete(key);
    }
    clearTimeout(this.#timer);
    const { next } = this.#banners;
    if (next === null) return;
    this.#timer = setTimeout(() => {
      this.#banners.step(performance.now());
      this.#render();
    }, next - performance.now());
  }

  #put({ key, user, icon: symbol, name }) {
    const words = make('span', { class: 'giver' }, make('b', {}, user), make('span', {}, `sent ${name}`));
    const banner = make('li', { class: 'banner' }, words, icon(`gift-${symbol}`), make('b', { class: 'times' }));
    this.#shown.set(key, banner);
    this.#list.append(banner);
    return banner;
  }
}
