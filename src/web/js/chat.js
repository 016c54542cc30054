import { readGift } from './gifts.js';
import { Recent } from './recent.js';
import { hue, icon, make, setData, setText } from './ui.js';

/** Rows kept in the list: more than anybody scrolls back, and cheap to lay out. */
export const ROWS = 200;

/** Distance from the end, in CSS pixels, within which the list follows what comes. */
const FOLLOW = 40;

/** Messages a second from which on a screen reader is not told each of them. */
const TOLD = 3;

/** What an own message's state is called. */
const STATES = { pending: 'Sending', shown: 'Sending', sent: 'Sent', failed: 'Not sent' };

/**
 * The chat: rows at the end, as many as come within a frame at once. Scrolled back, it stands still and counts.
 *
 * @typedef {import('./own.js').Own} Own
 */
export class Chat {
  #scroller;
  #rows;
  #newer;
  #waiting = new Recent(ROWS);
  #unseen = 0;
  #frame = 0;
  /** @type {Map<string, HTMLElement>} rows of own messages on their way or failed, by id */
  #own = new Map();
  /** @type {Map<string, Own>} failed ones, in the order in which they failed */
  #failed = new Map();
  #unsent;
  #second = 0;
  #thisSecond = 0;

  /**
   * @param {Record<'chat' | 'chatRows' | 'chatNewer' | 'unsent' | 'unsentText' | 'unsentRetry' | 'unsentDrop', HTMLElement>} refs
   * @param {(own: Own) => void} onretry
   */
  constructor({ chat, chatRows, chatNewer, unsent, unsentText, unsentRetry, unsentDrop }, onretry) {
    this.#scroller = chat;
    this.#rows = chatRows;
    this.#newer = chatNewer;
    this.#unsent = { bar: unsent, text: unsentText };
    unsentRetry.addEventListener('click', () => [...this.#failed.values()].forEach(onretry));
    unsentDrop.addEventListener('click', () => this.#drop());
    chat.addEventListener('scroll', () => {
      if (this.#follows && this.#unseen > 0) this.#schedule();
    });
    chatNewer.addEventListener('click', () => {
      this.#toEnd();
      this.#schedule();
    });
    document.addEventListener('visibilitychange', () => this.#schedule());
  }

  /** A message of the room; `own`: it is that message of ours. */
  add(message, own = null, mine = false) {
    this.#count();
    const row = own === null ? undefined : this.#own.get(own.id);
    this.#push(row ?? { message, mine });
  }

  /** A message of ours, before the room has it. */
  addOwn(own, user) {
    const row = drawn({ ...own, user_id: user }, true);
    this.#own.set(own.id, row);
    // Failed ones that nobody tries again.
    if (this.#own.size > ROWS) this.#forget(this.#own.keys().next().value);
    this.renderOwn(own);
    this.#rows.append(row);
    this.#toEnd();
  }

  /** The state of a message of ours. */
  renderOwn(own) {
    const row = this.#own.get(own.id);
    if (row === undefined) return;
    setData(row, 'state', own.state);
    let state = row.querySelector('.fate');
    if (state === null) {
      state = make('span', { class: 'fate' });
      row.append(state);
    }
    setText(state, own.state === 'failed' ? own.why || STATES.failed : STATES[own.state]);
    if (own.state === 'failed') this.#failed.set(own.id, own);
    else this.#failed.delete(own.id);
    if (own.state === 'sent') this.#own.delete(own.id);
    this.#countFailed();
  }

  /** Failed messages that shall not be sent any more. */
  #drop() {
    for (const id of this.#failed.keys()) {
      this.#own.get(id)?.remove();
      this.#forget(id);
    }
  }

  #forget(id) {
    this.#own.delete(id);
    this.#failed.delete(id);
    this.#countFailed();
  }

  /** One line for all of them, however many a burst was. */
  #countFailed() {
    const { size } = this.#failed;
    this.#unsent.bar.hidden = size === 0;
    setText(this.#unsent.text, size === 1 ? '1 message not sent' : `${size} messages not sent`);
  }

  /** A line that is nobody's. */
  note(text) {
    this.#push({ note: text });
  }

  clear() {
    this.#waiting.take();
    this.#own.clear();
    this.#failed.clear();
    this.#countFailed();
    this.#rows.replaceChildren();
    this.#unseen = 0;
    this.#newer.hidden = true;
  }

  get #follows() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < FOLLOW;
  }

  #push(entry) {
    this.#waiting.push(entry);
    this.#unseen += 1;
    this.#schedule();
  }

  #schedule() {
    if (document.hidden) return;
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#flush();
    });
  }

  #flush() {
    if (!this.#follows) {
      this.#newer.hidden = this.#unseen === 0;
      setText(this.#newer, this.#unseen === 1 ? '1 new message' : `${this.#unseen} new messages`);
      return;
    }
    this.#newer.hidden = true;
    this.#unseen = 0;
    const rows = this.#waiting.take().map(rowOf);
    if (rows.length === 0) return;
    this.#rows.append(...rows);
    while (this.#rows.childElementCount > ROWS) this.#rows.firstElementChild.remove();
    this.#toEnd();
  }

  #toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  /** Too many messages read aloud hide each other. */
  #count() {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) {
      const busy = second === this.#second + 1 && this.#thisSecond > TOLD;
      this.#scroller.setAttribute('aria-live', busy ? 'off' : 'polite');
      this.#second = second;
      this.#thisSecond = 0;
    }
    this.#thisSecond += 1;
  }
}

function rowOf(entry) {
  if (entry instanceof HTMLElement) return entry;
  if (entry.note !== undefined) return make('li', { class: 'line', 'data-kind': 'note' }, entry.note);
  return drawn(entry.message, entry.mine);
}

function drawn(message, mine) {
  const { type, content, user_id: user } = message;
  const row = make('li', { class: 'line', 'data-kind': type });
  if (Number.isSafeInteger(message.seq)) row.dataset.seq = String(message.seq);
  if (mine) row.dataset.own = '';
  if (type === 'system') {
    row.append(String(content ?? ''));
    return row;
  }
  const who = make('b', { class: 'who' }, `${user}`);
  who.style.setProperty('--hue', String(hue(`${user}`)));
  row.append(who, ' ');
  if (type === 'gift') {
    const { icon: symbol, name, count } = readGift(message);
    row.append(make('span', { class: 'what' }, `sent ${name}`), icon(`gift-${symbol}`), make('b', {}, `×${count}`));
  } else {
    row.append(make('span', { class: 'what' }, String(content ?? '')));
  }
  return row;
}
