/**
 * The server's end of a room, as the interface describes it, with a clock that the test turns: enough to try a member
 * at every point at which a connection can break.
 */
export class Room {
  /** The messages of this epoch. */
  log = [];
  epoch = 1;
  explanation = { state: 'retry', why: 'refused' };
  /** Connections are refused. */
  away = false;
  /** Nothing reaches the member, without an end of the connection. */
  silent = false;
  /** What is kept, over crashes too. */
  kept = [];
  /** The store does not answer; or it answers when it is told to. */
  unread = false;
  slow = null;
  viewers = 1;
  #recent;
  #held = 0;
  #now = 0;
  #timers = [];
  #socket = null;
  #inbox = [];
  #acks = [];
  #ids = new Map();
  #made = 0;

  constructor({ recent = 50 } = {}) {
    this.#recent = recent;
  }

  /** What the member takes for its browser. */
  get browser() {
    return {
      open: (url) => this.#open(url),
      now: () => this.#now,
      random: () => 0.5,
      later: (what, ms) => {
        const timer = { at: this.#now + ms, what };
        this.#timers.push(timer);
        return timer;
      },
      forget: (timer) => (this.#timers = this.#timers.filter((other) => other !== timer)),
      newId: () => `id-${(this.#made += 1)}`,
    };
  }

  /** Lets time go by, timer by timer. */
  async pass(ms) {
    const end = this.#now + ms;
    for (;;) {
      await this.settle();
      const due = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.browser.forget(due);
      this.#now = Math.max(this.#now, due.at);
      due.what();
    }
    this.#now = end;
  }

  /** Lets promises and what the network still carries arrive. */
  async settle() {
    for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
  }

  say(user, content, type = 'danmu') {
    const message = { type, room_id: 1, user_id: user, content, timestamp: this.#now, seq: this.log.length + 1 };
    this.log.push(message);
    this.kept.push({ epoch: this.epoch, ...message });
    this.send(message);
    return message.seq;
  }

  /** Handles what the member has sent. */
  serve({ acknowledge = true } = {}) {
    for (const { type, content, id } of this.#inbox.splice(0)) {
      if (!this.#ids.has(id)) this.#ids.set(id, this.say('ada', content, type));
      this.#acks.push({ type: 'ack', id, seq: this.#ids.get(id) });
    }
    if (acknowledge) this.acknowledge();
  }

  acknowledge() {
    for (const ack of this.#acks.splice(0)) this.send(ack);
  }

  /** Refuses what the member has sent. */
  refuse(code) {
    for (const { id } of this.#inbox.splice(0)) this.send({ type: 'error', code, error: 'no', id });
  }

  send(message) {
    this.sendText(JSON.stringify(message));
  }

  sendText(text) {
    if (!this.silent) this.#socket?.onmessage({ data: text });
  }

  /** The connection breaks: what was sent and not handled, or not answered, is lost. */
  cut(code = 1006) {
    const socket = this.#socket;
    this.#socket = null;
    this.#inbox = [];
    this.#acks = [];
    socket?.onclose({ code });
  }

  /** Everything of this epoch is forgotten, and the last messages are lost. */
  crash({ lost = 0 } = {}) {
    this.kept.splice(this.kept.length - lost);
    this.epoch += 1;
    this.log = [];
    this.#held = 0;
    this.#ids.clear();
    this.cut();
  }

  /** A page of what is kept after a message. */
  async stored({ epoch, seq }, limit = 20) {
    await this.slow;
    if (this.unread) throw new Error('unreachable');
    const all = this.kept.filter((message) => message.epoch > epoch || (message.epoch === epoch && message.seq > seq));
    return { messages: all.slice(0, limit), more: all.length > limit };
  }

  /** The messages up to this `seq` are no longer held. */
  forget(seq) {
    this.#held = seq;
  }

  #open(url) {
    const socket = { readyState: 0, close: () => {}, send: (text) => this.#inbox.push(JSON.parse(text)) };
    socket.close = () => {
      socket.readyState = 3;
      if (this.#socket === socket) this.#socket = null;
    };
    setImmediate(() => {
      if (socket.readyState === 3) return;
      if (this.away) socket.onclose({ code: 1006 });
      else this.#greet(socket, url);
    });
    return socket;
  }

  #greet(socket, url) {
    socket.readyState = 1;
    this.#socket = socket;
    const last = this.log.length;
    this.send({ type: 'hello', room_id: 1, epoch: this.epoch, seq: last, viewer_count: this.viewers });
    let since = Math.max(0, last - this.#recent);
    if (url !== 'recent') {
      const [epoch, seq] = url.split(':').map(Number);
      since = epoch === this.epoch ? Math.max(seq, this.#held) : this.#held;
      const all = epoch === this.epoch && seq === since;
      if (!all) this.send({ type: 'system', code: 'history_truncated', from: since + 1 });
    }
    for (const message of this.log.slice(since)) this.send(message);
  }
}
