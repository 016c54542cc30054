/** A room's page: its picture with what is said flying over it, the chat, gifts, likes. */

import { Celebration } from './celebrate.js';
import { Chat } from './chat.js';
import { Danmaku } from './danmaku.js';
import { ApiError } from './http.js';
import { me } from './identity.js';
import { Member } from './member.js';
import { STATUS, explainMemberRefusal, getRoom, memberSocketUrl, messagesOf, startRoom, stopRoom } from './platform.js';
import { Player } from './player.js';
import { Poll } from './poll.js';
import { RoomPanel } from './room_panel.js';
import { Talk } from './talk.js';
import { wireFullscreen, wireSound } from './ui.js';
import { errorText } from './words.js';

/** Between two looks at a room that is not live yet, or was not reached, in ms. */
const POLL_MS = 3000;

/** Likes are gathered for so long, in ms: a finger is faster than a member may send. */
const LIKES_MS = 500;

/** A tab that was hidden for longer than this, in ms, does not trust its connection. */
const FROZEN_MS = 60_000;

/** Likes that one message may say. */
const LIKES = 99;

export class RoomPage {
  #refs;
  #lobby;
  #panel;
  #talk;
  #chat;
  #danmaku;
  #celebration;
  #player;
  #poll = new Poll(() => this.#look(), POLL_MS);
  /** @type {Member | null} */
  #member = null;
  #id = null;
  /** @type {import('./platform.js').Room | null} */
  #room = null;
  #refusal = null;
  #viewers = null;
  #likes = 0;
  #unsentLikes = 0;
  #likeTimer = null;
  #hiddenAt = 0;

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
    this.#id = this.#room = this.#refusal = this.#viewers = null;
    this.#likes = this.#unsentLikes = 0;
    this.#poll.stop();
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
    this.#panel.render({
      id: this.#id,
      room: this.#room,
      refusal: this.#refusal,
      member: this.#member?.view ?? null,
      position: this.#member?.position ?? null,
      pending: this.#member?.pending ?? 0,
      viewers: this.#viewers,
      likes: this.#likes,
      hot: this.#lobby.hot.get(this.#id) ?? null,
      player: this.#player.view,
      flights: this.#danmaku.flights,
    });
  }

  /** Reads the room; what its status is decides what the page does. */
  async #look() {
    const id = this.#id;
    try {
      const room = await getRoom(id);
      if (id === this.#id) await this.#found(room);
    } catch (error) {
      if (id !== this.#id) return;
      this.#refusal = refusalText(error);
      if (error instanceof ApiError && error.status < 500) this.#poll.stop();
    }
    this.render();
  }

  async #found(room) {
    const before = this.#room?.status;
    this.#room = room;
    this.#refusal = null;
    if (room.status !== STATUS.live || this.#viewers === null) this.#viewers = room.viewer_count;
    if (room.status !== STATUS.idle) this.#poll.stop();
    if (room.status === STATUS.live && before !== STATUS.live) this.#enter();
    if (room.status === STATUS.ended && this.#member === null) await this.#recall(room.id);
  }

  #enter() {
    const id = this.#id;
    const member = new Member(me.userId, {
      url: (after) => memberSocketUrl(id, after),
      explain: () => explainMemberRefusal(id),
      onchange: () => this.#changed(),
      onmessage: (message, own, past) => this.#message(message, own, past),
      onpresence: (presence) => this.#presence(presence),
      onown: (own) => this.#chat.renderOwn(own),
      onnotice: (text) => this.#chat.note(text),
    });
    this.#member = member;
    member.connect();
    const device = this.#room.device_id;
    if (device !== undefined) this.#player.open(device, performance.now());
  }

  /** What was said last in a room that is over. */
  async #recall(id) {
    const messages = await messagesOf(id).catch(() => []);
    if (id !== this.#id) return;
    for (const message of messages) {
      if (message.type !== 'like') this.#chat.add(message, null, message.user_id === me.userId);
    }
  }

  #changed() {
    const state = this.#member?.view.state;
    if (state === 'ended' || state === 'idle') {
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
      const { count } = message.data ?? {};
      this.#likes += Number.isSafeInteger(count) && count > 0 ? Math.min(count, LIKES) : 1;
      this.#celebration.like();
      return;
    }
    if (message.type === 'danmu') this.#danmaku.fly({ text: `${message.content}`, own: mine });
    if (message.type === 'gift') this.#celebration.gift(message);
  }

  #presence(presence) {
    if (Number.isSafeInteger(presence.viewer_count)) this.#viewers = presence.viewer_count;
    this.#talk.presence(presence);
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
    this.#unsentLikes = Math.min(this.#unsentLikes + 1, LIKES);
    this.#likeTimer ??= setTimeout(() => {
      this.#likeTimer = null;
      if (this.#unsentLikes > 0) this.#member?.sendLightly('like', '', { count: this.#unsentLikes });
      this.#unsentLikes = 0;
    }, LIKES_MS);
  }

  async #command(task) {
    const { roomStart, roomStop } = this.#refs;
    roomStart.disabled = roomStop.disabled = true;
    try {
      await this.#found(await task(this.#id));
    } catch (error) {
      this.#chat.note(refusalText(error));
    }
    roomStart.disabled = roomStop.disabled = false;
    this.render();
  }

  #wire() {
    const refs = this.#refs;
    refs.sayForm.addEventListener('submit', (event) => this.#say(event));
    refs.like.addEventListener('click', () => this.#like());
    refs.roomRetry.addEventListener('click', () => this.retryNow());
    refs.roomStart.addEventListener('click', () => this.#command(startRoom));
    refs.roomStop.addEventListener('click', () => this.#command(stopRoom));
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

function refusalText(error) {
  if (!(error instanceof ApiError)) return 'The server cannot be reached.';
  if (error.status === 401) return 'Sign in to come in.';
  return errorText({ code: error.code, error: error.message });
}
