/** Repeats a task while the page is visible, one run at a time. A task that fails is tried again at the next turn. */
export class Poll {
  #task;
  #ms;
  #timer = null;
  #on = false;
  #running = false;
  /** Whether a run was asked for while another one ran, which may be about something else by now. */
  #again = false;

  /** @param {() => Promise<void>} task @param {number} ms from the end of a run to the next */
  constructor(task, ms) {
    this.#task = task;
    this.#ms = ms;
    document.addEventListener('visibilitychange', () => this.now());
    window.addEventListener('online', () => this.now());
  }

  start() {
    this.#on = true;
    this.now();
  }

  stop() {
    this.#on = false;
    clearTimeout(this.#timer);
  }

  async now() {
    clearTimeout(this.#timer);
    if (!this.#on || document.hidden) return;
    this.#again = this.#running;
    if (this.#running) return;
    this.#running = true;
    await this.#task().catch(() => {});
    this.#running = false;
    if (this.#again) {
      this.now();
      return;
    }
    if (this.#on && !document.hidden) this.#timer = setTimeout(() => this.now(), this.#ms);
  }
}
