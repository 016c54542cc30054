/** The list of rooms, and the ranking. */

import { showCover } from './cover.js';
import { count, heat, short, span } from './format.js';
import { me } from './identity.js';
import { STATUS, hotRooms, listRooms, online } from './platform.js';
import { Poll } from './poll.js';
import { hue, icon, make, setData, setText } from './ui.js';

/** Between two polls of the list, in ms. */
const POLL_MS = 4000;

/** Rooms drawn at most: past it "More" would only make the page slow. */
const ROOMS = 600;

/** Rooms named in the ranking. */
const RANKED = 10;

/** What is said where there are no rooms of a status. */
const NONE = {
  [STATUS.live]: ['No room is live', 'Start one of your own: it takes a title, and a device if it shall have a picture.'],
  [STATUS.idle]: ['No room is waiting', 'Rooms that are made but not started are here.'],
  [STATUS.ended]: ['No room has ended yet', 'Rooms that are over are here, with what was said in them.'],
};

/** @typedef {import('./platform.js').Room} Room */

export class Lobby {
  /** @type {Map<number, import('./platform.js').HotRoom & {rank: number}>} live rooms by id */
  hot = new Map();
  #refs;
  #status = STATUS.live;
  /** @type {Room[]} */
  #rooms = [];
  #pages = 1;
  #next = null;
  #known = false;
  /** Counts up when what is known is forgotten: answers to what was asked before come too late. */
  #visit = 0;
  #open = false;
  #poll = new Poll(() => this.#load(), POLL_MS);
  #ranking = new Poll(() => this.#rank(), POLL_MS);
  /** @type {Map<number, ReturnType<typeof makeCard>>} */
  #cards = new Map();
  #onhot;

  /** @param {Record<string, HTMLElement>} refs @param {() => void} onhot the ranking moved */
  constructor(refs, onhot) {
    this.#refs = refs;
    this.#onhot = onhot;
    for (const tab of refs.statuses.querySelectorAll('button')) {
      tab.addEventListener('click', () => this.#choose(Number(tab.dataset.status)));
    }
    refs.roomFilter.addEventListener('input', () => this.render());
    refs.moreRooms.addEventListener('click', () => {
      this.#pages += 1;
      this.#poll.now();
    });
  }

  /** Shows the list. */
  open() {
    this.#open = true;
    this.#ranking.start();
    this.#poll.start();
    this.render();
  }

  /** The list is not seen; the ranking goes on where a room is. */
  close(ranking) {
    this.#open = false;
    this.#poll.stop();
    if (ranking) this.#ranking.start();
    else this.#ranking.stop();
  }

  #choose(status) {
    this.#status = status;
    this.#pages = 1;
    this.#rooms = [];
    this.#known = false;
    this.render();
    this.#poll.now();
  }

  /** Forgets what it knows: somebody else looks at it, or nobody who may. */
  clear() {
    this.#visit += 1;
    this.#rooms = [];
    this.#next = null;
    this.#known = false;
    this.#people(null);
    this.#ranked([]);
    this.#poll.now();
    this.#ranking.now();
  }

  async #load() {
    const visit = this.#visit;
    const status = this.#status;
    const rooms = [];
    let cursor = null;
    let page = 0;
    do {
      const { rooms: found, next } = await listRooms(status, cursor);
      rooms.push(...found);
      cursor = next;
      page += 1;
    } while (cursor !== null && page < this.#pages && rooms.length < ROOMS);
    if (status !== this.#status || visit !== this.#visit) return;
    this.#rooms = rooms;
    this.#next = rooms.length < ROOMS ? cursor : null;
    this.#known = true;
    if (this.#open) this.render();
  }

  async #rank() {
    const visit = this.#visit;
    const [rooms, { users }] = await Promise.all([hotRooms(), online()]);
    if (visit !== this.#visit) return;
    this.#people(users);
    this.#ranked(rooms);
  }

  #people(users) {
    setText(this.#refs.people, count(users));
    setText(this.#refs.peopleWord, users === 1 ? 'person online' : 'people online');
  }

  #ranked(rooms) {
    this.hot = new Map(rooms.map((room, index) => [room.room_id, { ...room, rank: index + 1 }]));
    renderRanking(this.#refs.hotList, rooms.slice(0, RANKED), null);
    setText(this.#refs.roomsLive, rooms.length === 0 ? '' : String(rooms.length));
    if (this.#open) this.render();
    this.#onhot();
  }

  render() {
    const refs = this.#refs;
    for (const tab of refs.statuses.querySelectorAll('button')) {
      tab.setAttribute('aria-pressed', String(Number(tab.dataset.status) === this.#status));
    }
    const filter = refs.roomFilter.value.trim().toLowerCase();
    const rooms = inOrder(this.#rooms, this.#status, this.hot).filter(({ title, anchor_id: anchor }) =>
      `${title}\n${anchor}`.toLowerCase().includes(filter),
    );
    this.#draw(rooms);
    refs.moreRooms.hidden = this.#next === null;
    refs.newRoom.hidden = !me.mayHaveRooms;
    refs.hot.hidden = this.hot.size === 0;
    const shut = me.required && me.token === null;
    const [head, detail] = shut ? ['Sign in to see the rooms', ''] : filter === '' ? NONE[this.#status] : ['No room is called that', ''];
    refs.noRooms.hidden = rooms.length > 0 || !(this.#known || shut);
    setText(refs.noRoomsHead, head);
    setText(refs.noRoomsDetail, detail);
  }

  #draw(rooms) {
    const gone = new Set(this.#cards.keys());
    rooms.forEach((room, index) => {
      gone.delete(room.id);
      let card = this.#cards.get(room.id);
      if (card === undefined) this.#cards.set(room.id, (card = makeCard(room)));
      fillCard(card, room, this.hot.get(room.id));
      const { cards } = this.#refs;
      if (cards.children[index] !== card.item) cards.insertBefore(card.item, cards.children[index] ?? null);
    });
    for (const id of gone) {
      this.#cards.get(id).item.remove();
      this.#cards.delete(id);
    }
  }
}

/**
 * Live rooms by heat, and those alike as all others: what happened last comes first.
 *
 * @param {Room[]} rooms @param {number} status @param {Map<number, {heat: number}>} hot by room
 */
export function inOrder(rooms, status, hot) {
  // The ranking is read now and then: it may still name rooms that are over.
  const heatOf = ({ id }) => (status === STATUS.live ? (hot.get(id)?.heat ?? 0) : 0);
  return [...rooms].sort((a, b) => heatOf(b) - heatOf(a) || Date.parse(b.updated_at) - Date.parse(a.updated_at));
}

function makeCard({ id }) {
  const cover = make('span', { class: 'cover' });
  const badge = make('span', { class: 'badge' });
  const viewers = make('span');
  const warmth = make('span');
  const figures = make('span', { class: 'cover-figures' });
  figures.append(make('span', {}, icon('eye'), viewers), make('span', { class: 'warmth' }, icon('flame'), warmth));
  const mark = make('span', { class: 'mark', 'aria-hidden': 'true' });
  cover.append(mark, badge, figures);
  const title = make('span', { class: 'card-title' });
  const face = make('span', { class: 'face', 'aria-hidden': 'true' });
  const anchor = make('span', { class: 'card-anchor' });
  const rows = make('span', { class: 'card-words' }, title, anchor);
  const link = make('a', { class: 'card', href: `#/rooms/${id}`, 'data-room-id': String(id) }, cover, face, rows);
  return { item: make('li', {}, link), link, cover, badge, viewers, warmth, title, face, anchor, mark };
}

function fillCard(card, room, hot) {
  const live = room.status === STATUS.live;
  showCover(card.cover, room);
  setData(card.link, 'status', room.status);
  setText(card.mark, [...room.title][0] ?? '');
  setText(card.badge, live ? 'Live' : room.status === STATUS.ended ? 'Ended' : 'Not started');
  setText(card.viewers, short(live ? (hot?.viewer_count ?? room.viewer_count) : room.viewer_count));
  setText(card.warmth, heat(hot?.heat));
  card.warmth.parentElement.hidden = hot === undefined;
  setText(card.title, room.title);
  card.title.title = room.title;
  setFace(card.face, room.anchor_id);
  const ago = span(Date.now() - Date.parse(room.updated_at));
  setText(card.anchor, live ? room.anchor_id : `${room.anchor_id} · ${ago} ago`);
}

/** A user's first letter, on a colour of their own; users with a password are named with an `@` before it. */
export function setFace(element, user) {
  element.style.setProperty('--hue', String(hue(user)));
  setText(element, (user.replace('@', '')[0] ?? '').toUpperCase());
}

/** @param {HTMLElement} list @param {import('./platform.js').HotRoom[]} rooms @param {number | null} current */
export function renderRanking(list, rooms, current) {
  const top = rooms[0]?.heat || 1;
  while (list.childElementCount > rooms.length) list.lastElementChild.remove();
  rooms.forEach((room, index) => {
    const item = list.children[index] ?? list.appendChild(makeRank());
    const link = item.firstElementChild;
    link.href = `#/rooms/${room.room_id}`;
    if (room.room_id === current) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
    setText(link.querySelector('.place'), String(index + 1));
    setText(link.querySelector('.rank-title'), room.title);
    setText(link.querySelector('.rank-heat'), heat(room.heat));
    setText(link.querySelector('.rank-viewers'), `${short(room.viewer_count)} watching`);
    link.style.setProperty('--part', String(Math.max(0.02, room.heat / top)));
  });
}

function makeRank() {
  const words = make('span', { class: 'rank-words' }, make('span', { class: 'rank-title' }), make('span', { class: 'rank-viewers' }));
  const warmth = make('span', { class: 'rank-warmth' }, icon('flame'), make('span', { class: 'rank-heat' }));
  return make('li', {}, make('a', { class: 'rank' }, make('span', { class: 'place' }), words, warmth));
}
