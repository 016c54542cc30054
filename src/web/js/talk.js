/** Beside the picture: who is here, and which rooms are hot. The chat has a module of its own. */

import { clock } from './format.js';
import { renderRanking, setFace } from './lobby.js';
import { viewersOf } from './platform.js';
import { make, setText } from './ui.js';

/** Between two readings of the list of viewers, in ms, however fast people come and go. */
const VIEWERS_MS = 3000;

/** Names told of those who came within a second. */
const NAMES = 2;

export class Talk {
  #refs;
  #roomId = null;
  #tab = 'chat';
  #timer = null;
  #readAt = 0;

  /** @param {Record<string, HTMLElement>} refs */
  constructor(refs) {
    this.#refs = refs;
    const tabs = [...refs.tabs.querySelectorAll('[role="tab"]')];
    for (const [index, tab] of tabs.entries()) {
      tab.addEventListener('click', () => this.show(tab.dataset.tab));
      tab.addEventListener('keydown', ({ key }) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
        if (step === undefined) return;
        const next = tabs[(index + step + tabs.length) % tabs.length];
        this.show(next.dataset.tab);
        next.focus();
      });
    }
  }

  open(roomId) {
    this.#roomId = roomId;
    this.#readAt = 0;
    this.show('chat');
  }

  close() {
    clearTimeout(this.#timer);
    this.#timer = this.#roomId = null;
    this.#refs.viewerRows.replaceChildren();
    setText(this.#refs.viewerMore, '');
    setText(this.#refs.arrivals, '');
  }

  /** @param {'chat' | 'viewers' | 'ranking'} name */
  show(name) {
    this.#tab = name;
    for (const tab of this.#refs.tabs.querySelectorAll('[role="tab"]')) {
      const chosen = tab.dataset.tab === name;
      tab.setAttribute('aria-selected', String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      document.getElementById(tab.getAttribute('aria-controls')).hidden = !chosen;
    }
    if (name === 'viewers' && this.#roomId !== null) this.#read();
  }

  /** @param {{joined?: unknown, left?: unknown, joined_count?: unknown}} presence */
  presence(presence) {
    setText(this.#refs.arrivals, arrivalsText(presence) ?? this.#refs.arrivals.textContent);
    if (this.#tab !== 'viewers' || this.#timer !== null) return;
    const wait = Math.max(0, this.#readAt + VIEWERS_MS - performance.now());
    this.#timer = setTimeout(() => this.#read(), wait);
  }

  ranking(rooms) {
    renderRanking(this.#refs.roomRanking, rooms, this.#roomId);
  }

  async #read() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#readAt = performance.now();
    const id = this.#roomId;
    const { viewers, more } = await viewersOf(id).catch(() => ({ viewers: null, more: false }));
    if (viewers === null || id !== this.#roomId) return;
    const rows = viewers.map(({ user_id: user, joined_at: since }) => {
      const face = make('span', { class: 'face', 'aria-hidden': 'true' });
      setFace(face, user);
      const time = make('span', { class: 'since' }, clock(Date.parse(since)));
      return make('li', { class: 'viewer' }, face, make('span', { class: 'viewer-name' }, user), time);
    });
    this.#refs.viewerRows.replaceChildren(...rows);
    setText(this.#refs.viewerMore, more ? `The first ${rows.length} of them.` : '');
  }
}

/** Who came, in words; null when nobody did. */
export function arrivalsText({ joined, joined_count: count }) {
  if (!Array.isArray(joined) || joined.length === 0) return null;
  const all = Math.max(joined.length, Number.isSafeInteger(count) ? count : 0);
  const named = joined.slice(0, NAMES);
  const others = all - named.length;
  if (others === 0) return `${named.join(' and ')} came in`;
  return `${named.join(', ')} and ${others} ${others === 1 ? 'other' : 'others'} came in`;
}
