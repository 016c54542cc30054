import { showCover } from './cover.js';
import { heat, short, span } from './format.js';
import { GIFTS } from './gifts.js';
import { me } from './identity.js';
import { setFace } from './lobby.js';
import { STATUS } from './platform.js';
import { icon, make, setData, setText } from './ui.js';

/** What the pill says, by state. */
const STATES = {
  connecting: 'Connecting',
  live: 'Live',
  reconnecting: 'Reconnecting',
  idle: 'Not started',
  ended: 'Ended',
  refused: 'Closed',
};

/** States in which one is in the room, or about to be. */
const INSIDE = ['connecting', 'live', 'reconnecting'];

/** What is shown over the place of the picture while the device's has a reason not to be there. */
const PICTURE = {
  connecting: 'Getting the picture',
  waiting: 'Waiting for the device',
  reconnecting: 'The picture comes back in a moment',
};

/**
 * Shows a room's state, in words and figures for a person and in data attributes for whoever automates the page.
 *
 * @typedef {object} RoomView
 * @property {number} id
 * @property {import('./platform.js').Room | null} room null before it was read
 * @property {import('./words.js').Refusal | null} refusal why it is not shown
 * @property {string | null} trouble why it could not be read, which may pass
 * @property {import('./member.js').Member['view'] | null} member
 * @property {import('./member.js').Position | null} position
 * @property {number} pending own messages on their way
 * @property {number | null} viewers
 * @property {number} likes since the page came
 * @property {(import('./platform.js').HotRoom & {rank: number}) | null} hot
 * @property {import('./player.js').View} player
 * @property {import('./flights.js').Flights} flights
 * @property {boolean} commanding whether the room is being started or ended
 */
export class RoomPanel {
  #refs;

  /** @param {Record<string, HTMLElement>} refs */
  constructor(refs) {
    this.#refs = refs;
  }

  /** @param {(gift: typeof GIFTS[number]) => void} ongift */
  offerGifts(ongift) {
    const buttons = GIFTS.map((gift) => {
      const price = make('span', { class: 'price' }, `${gift.value}`);
      const button = make('button', { type: 'button', 'data-gift': gift.gift, 'aria-label': `Send ${gift.name}, value ${gift.value}` });
      button.append(icon(`gift-${gift.gift}`), make('span', {}, gift.name), price);
      button.addEventListener('click', () => ongift(gift));
      return button;
    });
    this.#refs.gifts.append(...buttons);
  }

  /** @param {RoomView} given @returns {boolean} whether the room can be ended from here now */
  render(given) {
    const state = stateOf(given);
    // The ranking is read now and then: it may still name a room that is over.
    const view = { ...given, hot: INSIDE.includes(state) ? given.hot : null };
    this.#attributes(view, state);
    this.#head(view, state);
    this.#message(view, state);
    this.#connection(view);
    const refs = this.#refs;
    const inside = INSIDE.includes(state);
    for (const control of [refs.say, refs.sayGo, ...refs.gifts.children]) control.disabled = !inside;
    refs.like.disabled = state !== 'live';
    refs.say.placeholder = inside ? 'Say something' : STATES[state];
    setText(refs.likes, view.likes > 0 ? short(view.likes) : 'Like');
    setText(refs.tabViewers, view.viewers === null ? '' : short(view.viewers));
    return this.#lead(view, state);
  }

  /** What its anchor does with a room. */
  #lead({ room, commanding }, state) {
    const { roomStart, roomStop } = this.#refs;
    const own = room !== null && (room.anchor_id === me.userId || me.role === 'admin');
    roomStart.hidden = !own || room.status !== STATUS.idle;
    roomStop.hidden = !own || room.status !== STATUS.live || state === 'ended';
    roomStart.disabled = commanding;
    roomStop.disabled = commanding || state !== 'live';
    return !roomStop.hidden && !roomStop.disabled;
  }

  #attributes(view, state) {
    const shown = {
      state,
      roomId: view.id,
      epoch: view.position?.epoch,
      seq: view.position?.seq,
      received: view.member?.received,
      gaps: view.member?.gaps,
      connections: view.member?.connections,
      pending: view.pending,
      viewers: view.viewers,
      heat: view.hot?.heat,
      rank: view.hot?.rank,
      likes: view.likes,
      picture: view.player.state,
      pictureFrames: view.player.figures?.framesDecoded,
      flying: view.flights.flying.length,
      flown: view.flights.started,
      skipped: view.flights.skipped,
    };
    for (const [name, value] of Object.entries(shown)) setData(this.#refs.room, name, value);
  }

  #head({ room, refusal, viewers, hot }, state) {
    const refs = this.#refs;
    setText(refs.roomTitle, room?.title ?? 'Room');
    document.title = `${room?.title ?? 'Room'} · media-service`;
    setText(refs.roomAnchor, room?.anchor_id ?? '');
    setFace(refs.roomFace, room?.anchor_id ?? '');
    setText(refs.roomSince, room === null ? '' : sinceText(room));
    setText(refs.roomPill, (state === 'refused' && refusal?.name) || STATES[state]);
    setText(refs.roomViewers, viewers === null ? '–' : short(viewers));
    setText(refs.roomHeat, heat(hot?.heat));
    refs.roomHeat.parentElement.hidden = !INSIDE.includes(state);
    setText(refs.roomRank, hot === null ? '' : `No. ${hot.rank}`);
    showCover(refs.roomBackdrop, room);
    setText(refs.roomMark, [...(room?.title ?? '')][0] ?? '');
  }

  #message(view, state) {
    const refs = this.#refs;
    const [head, detail] = messageFor(view, state);
    refs.roomMessage.hidden = head === '';
    setText(refs.roomHeadline, head);
    setText(refs.roomDetail, detail);
    const picture = view.player.state !== 'idle' && view.player.joinMs !== null;
    setData(refs.roomStage, 'picture', picture ? '' : null);
    refs.roomSound.hidden = view.room?.device_id === undefined || state === 'ended';
  }

  #connection({ member }) {
    const { roomConnection, roomWhy } = this.#refs;
    const broken = member?.state === 'reconnecting';
    roomConnection.hidden = !broken;
    if (broken) setText(roomWhy, `${member.why} ${whenText(member.retryAt)}`);
  }
}

/** What the room is to this page. @param {RoomView} view */
function stateOf({ room, refusal, member }) {
  if (member !== null && member.state !== 'off') return member.state;
  if (refusal !== null) return 'refused';
  if (room === null) return 'connecting';
  return room.status === STATUS.ended ? 'ended' : room.status === STATUS.idle ? 'idle' : 'connecting';
}

/** Headline and detail over the stage; empty while all is well. @param {RoomView} view */
function messageFor({ room, refusal, trouble, member, viewers, player }, state) {
  switch (state) {
    case 'refused':
      return refusal === null ? ['You cannot come in', member?.why ?? ''] : [refusal.head, refusal.detail];
    case 'idle':
      return ['Not started yet', room?.anchor_id === me.userId ? 'Start it when you are ready.' : 'It opens by itself when it begins.'];
    case 'ended':
      return ['This room is over', viewers === null ? '' : `${viewers} ${viewers === 1 ? 'viewer' : 'viewers'} at its end.`];
    default:
      if (room === null && trouble !== null) return [trouble, 'It is tried again every few seconds.'];
      if (room?.device_id === undefined) return ['', ''];
      if (player.state === 'failed') return ['The picture cannot be played', player.why];
      return [PICTURE[player.state] ?? '', ''];
  }
}

function sinceText({ status, created_at: created, updated_at: updated }) {
  const ago = span(Date.now() - Date.parse(status === STATUS.idle ? created : updated));
  return { [STATUS.idle]: `made ${ago} ago`, [STATUS.live]: '', [STATUS.ended]: `ended ${ago} ago` }[status] ?? '';
}

function whenText(retryAt) {
  if (retryAt === null) return 'Trying now.';
  const seconds = Math.ceil((retryAt - performance.now()) / 1000);
  return seconds > 1 ? `Next try in ${seconds} s.` : 'Next try in a moment.';
}
