/** A room's page: its picture with what is said flying over it, the chat, gifts, likes. */

import { Celebration } from './celebrate.js';
import { Chat } from './chat.js';
import { Confirm } from './confirm.js';
import { Danmaku } from './danmaku.js';
import { ApiError } from './http.js';
import { me } from './identity.js';
import { Likes } from './likes.js';
import { Member } from './member.js';
import { STATUS, explainMemberRefusal, getRoom, memberSocketUrl, messagesAfter, messagesOf, startRoom, stopRoom } from './platform.js';
import { Player } from './player.js';
import { Poll } from './poll.js';
import { RoomPanel } from './room_panel.js';
import { Talk } from './talk.js';
import { wireFullscreen, wireSound } from './ui.js';
import { roomRefusal } from './words.js';

/** Between two looks at a room that is not live yet, or was not reached, in ms. */
const POLL_MS = 3000;

/** A tab that was hidden for longer than this, in ms, does not trust its connection. */
const FROZEN_MS = 60_000;

export class RoomPage {
  #refs;
  #lobby;
  #panel;
  #talk;
  #chat;
  #danmaku;
  #celebration;
  #player;
  /** @type {Confirm} */
  #ending;
  #poll = new Poll(() => this.#look(), POLL_MS);
  /** @type {Member | null} */
  #member = null;
  #id = null;
  /** Counts up with each room, and each time that one is opened anew: answers for another one come too late. */
  #visit = 0;
  /** @type {import('./platform.js').Room | null} */
  #room = null;
  /** @type {import('./words.js').Refusal | null} */
  #refusal = null;
  #trouble = null;
  #viewers = null;
  #likes = new Likes((count) => this.#member?.sendLightly('like', '', { count }));
  #hiddenAt = 0;
  #commanding = false;

  /** @param {Record<string, HTMLElement>} refs @param {import('./lobby.js').Lobby} lobby */
  constructor(refs, lobby) {
    this.#refs = refs;
    this.#lobby = lobby;
    this.#panel = new RoomPanel(refs);
    this.#talk = new Talk(refs);
    this.#chat = new Chat(refs, (own) => this.#member?.retry(own));
    this.#danmaku = new Danmaku(refs.danmaku);
    this.#celebration = new Celebration(refs);
    this.#player = new Player(refs.roomVideo, refs.roomStill, {
      onchange: () => this.render(),
      onsession: () => {},
      onmessage: () => false,
    });
    this.#wire();
    setInterval(() => this.#tick(), 1000);
  }

  open(id) {
    this.close();
    this.#id = id;
    this.#talk.open(id);
    this.#poll.start();
    this.render();
  }

  close() {
    this.#id = this.#refusal = this.#trouble = null;
    this.#visit += 1;
    this.#poll.stop();
    this.#forget();
  }

  /** Nothing of the room stays in sight. */
  #forget() {
    this.#room = this.#viewers = null;
    this.#likes.clear();
    this.#member?.close();
    this.#member = null;
    this.#player.close();
    this.#talk.close();
    this.#chat.clear();
    this.#danmaku.clear();
    this.#celebration.clear();
  }

  /** The ranking moved. */
  ranked() {
    if (this.#id === null) return;
    this.#talk.ranking([...this.#lobby.hot.values()].slice(0, 20));
    this.render();
  }

  retryNow() {
    this.#member?.retryNow();
    this.#player.retryNow();
  }

  render() {
    if (this.#id === null) return;
    const mayEnd = this.#panel.render({
      id: this.#id,
      room: this.#room,
      refusal: this.#refusal,
      trouble: this.#trouble,
      member: this.#member?.view ?? null,
      position: this.#member?.position ?? null,
      pending: this.#member?.pending ?? 0,
      viewers: this.#viewers,
      likes: this.#likes.count,
      hot: this.#lobby.hot.get(this.#id) ?? null,
      player: this.#player.view,
      commanding: this.#commanding,
      flights: this.#danmaku.flights,
    });
    if (!mayEnd) this.#ending.close();
  }

  /** Reads the room; what its status is decides what the page does. */
  async #look() {
    const visit = this.#visit;
    try {
      const room = await getRoom(this.#id);
      if (visit === this.#visit) await this.#found(room);
    } catch (error) {
      if (visit !== this.#visit) return;
      this.#trouble = wordsOf(error);
      if (error instanceof ApiError) this.#refused(roomRefusal(error));
    }
    this.render();
  }

  #refused(refusal) {
    if (refusal === null) return;
    this.#refusal = refusal;
    this.#poll.stop();
    this.#forget();
  }

  async #found(room) {
    const before = this.#room?.status;
    this.#room = room;
    this.#trouble = null;
    if (room.status !== STATUS.live || this.#viewers === null) this.#viewers = room.viewer_count;
    if (room.status !== STATUS.idle) this.#poll.stop();
    if (room.status === STATUS.live && before !== STATUS.live) this.#enter();
    if (room.status === STATUS.ended && this.#member === null) await this.#recall();
  }

  #enter() {
    const id = this.#id;
    const member = new Member(me.userId, {
      url: (after) => memberSocketUrl(id, after),
      explain: () => explainMemberRefusal(id),
      stored: (after) => messagesAfter(id, after),
      onchange: () => this.#changed(),
      onmessage: (message, own, past) => this.#message(message, own, past),
      onviewers: (count) => this.#counted(count),
      onpresence: (presence) => this.#talk.presence(presence),
      onown: (own) => this.#chat.renderOwn(own),
      onnotice: (text) => this.#chat.note(text),
    });
    this.#member = member;
    member.connect();
    const device = this.#room.device_id;
    if (device !== undefined) this.#player.open(device, performance.now());
  }

  /** What was said last in a room that is over. */
  async #recall() {
    const visit = this.#visit;
    const messages = await messagesOf(this.#id).catch(() => []);
    if (visit !== this.#visit) return;
    for (const message of messages) {
      if (message.type !== 'like') this.#chat.add(message, null, message.user_id === me.userId);
    }
  }

  #changed() {
    const state = this.#member?.view.state;
    // Where we may not stay, the next look forgets the room.
    if (state === 'ended' || state === 'idle' || state === 'refused') {
      this.#player.close();
      this.#poll.start();
    }
    this.render();
  }

  #message(message, own, past) {
    const mine = message.user_id === me.userId;
    if (message.type !== 'like') this.#chat.add(message, own, mine);
    // What was said before we came is read, not celebrated again.
    if (past) return;
    if (message.type === 'like') {
      this.#likes.heard(message);
      this.#celebration.like();
      return;
    }
    if (message.type === 'danmu') this.#danmaku.fly({ text: `${message.content}`, own: mine });
    if (message.type === 'gift') this.#celebration.gift(message);
  }

  #counted(viewers) {
    this.#viewers = viewers;
    this.render();
  }

  /** Phones freeze hidden tabs, and their connections with them. */
  #visible() {
    if (document.hidden) this.#hiddenAt = performance.now();
    else if (performance.now() - this.#hiddenAt > FROZEN_MS) this.#member?.renew();
    else this.#member?.retryNow();
  }

  #tick() {
    if (this.#id !== null && !document.hidden) this.render();
  }

  #say(event) {
    event.preventDefault();
    const field = this.#refs.say;
    const text = field.value.trim();
    if (text === '' || this.#member === null) return;
    if (this.#send('danmu', text)) field.value = '';
  }

  #send(type, content, data) {
    const own = this.#member?.send(type, content, data);
    if (own) this.#chat.addOwn(own, me.userId);
    else if (own === null) this.#chat.note('Wait a moment: what you sent before is still on its way.');
    return Boolean(own);
  }

  #like() {
    this.#celebration.like();
    this.#likes.add();
  }

  async #command(task) {
    const visit = this.#visit;
    this.#commanding = true;
    this.render();
    try {
      const room = await task(this.#id);
      if (visit === this.#visit) await this.#found(room);
    } catch (error) {
      if (visit === this.#visit) this.#chat.note(wordsOf(error));
    }
    this.#commanding = false;
    this.render();
  }

  #wire() {
    const refs = this.#refs;
    refs.sayForm.addEventListener('submit', (event) => this.#say(event));
    refs.like.addEventListener('click', () => this.#like());
    refs.roomRetry.addEventListener('click', () => this.retryNow());
    refs.roomStart.addEventListener('click', () => this.#command(startRoom));
    this.#ending = new Confirm(refs.roomStop, refs.roomSure, { yes: refs.roomStopYes, no: refs.roomStopNo }, () => this.#command(stopRoom));
    refs.danmakuSwitch.hidden = !this.#danmaku.on;
    refs.danmakuSwitch.addEventListener('click', () => {
      const on = refs.danmakuSwitch.getAttribute('aria-pressed') !== 'true';
      refs.danmakuSwitch.setAttribute('aria-pressed', String(on));
      this.#danmaku.on = on;
    });
    wireSound(refs.roomSound, refs.roomSoundLabel, refs.roomVideo);
    wireFullscreen(refs.roomFullscreen, refs.roomStage);
    this.#panel.offerGifts(({ gift, name, value }) => this.#send('gift', name, { gift, value, count: 1 }));
    window.addEventListener('online', () => this.#member?.renew());
    document.addEventListener('visibilitychange', () => this.#visible());
  }
}

function wordsOf(error) {
  return error instanceof ApiError ? error.words : 'The server cannot be reached.';
}
