/** A device's page: its picture, its quality, and its control. */

import { Control } from './control.js';
import { attachInput } from './input.js';
import { Panel } from './panel.js';
import { Player } from './player.js';
import { acknowledge, wireFullscreen, wireSound } from './ui.js';

/** What the server takes as text or clipboard of one control message, in bytes of UTF-8. */
const TEXT_BYTES = 16_384;

export class Watch {
  #refs;
  #devices;
  #panel;
  #control = new Control((message) => this.#player.send(message));
  #player;

  /**
   * @param {Record<string, HTMLElement>} refs
   * @param {import('./devices.js').Devices} devices
   */
  constructor(refs, devices) {
    this.#refs = refs;
    this.#devices = devices;
    this.#panel = new Panel(refs.player, refs);
    this.#player = new Player(refs.video, refs.still, {
      onchange: () => this.render(),
      onsession: () => this.#control.reset(),
      onmessage: (message) => this.#receive(message),
    });
    this.#wire();
  }

  /** The device that is watched; null for none. */
  get deviceId() {
    return this.#player.view.deviceId;
  }

  /** `clickedAt`, on the clock of `performance.now()`, is where its join time begins. */
  open(deviceId, clickedAt) {
    this.#player.open(deviceId, clickedAt);
    this.#refs.surface.focus({ preventScroll: true });
  }

  close() {
    this.#player.close();
  }

  retryNow() {
    this.#player.retryNow();
  }

  render() {
    this.#panel.render(this.#player.view, this.#control.figures, this.#devices.find(this.deviceId));
  }

  #receive(message) {
    const taken = this.#control.receive(message);
    if (taken && message.type === 'ack') this.#player.note('');
    if (taken) this.render();
    return taken;
  }

  #act(action, fields) {
    if (fields?.text !== undefined && new TextEncoder().encode(fields.text).length > TEXT_BYTES) {
      this.#player.note(`This text is too long for the device: ${TEXT_BYTES / 1024} KiB at most.`);
      return false;
    }
    const left = this.#control.send(action, fields);
    this.render();
    return left;
  }

  async #sendClipboard() {
    const { text: field, clipboard } = this.#refs;
    const typed = field.value;
    try {
      const text = typed || (await navigator.clipboard.readText());
      if (text !== '') acknowledge(clipboard, this.#act('clipboard', { text }) ? 'Sent' : 'Not sent');
    } catch {
      // The browser keeps its clipboard to itself, so the text has to go through the field.
      field.focus();
      acknowledge(clipboard, 'Paste it left');
    }
  }

  #typeText(event) {
    event.preventDefault();
    const { text: field } = this.#refs;
    const text = field.value;
    if (text !== '' && this.#act('text', { text })) field.value = '';
  }

  #wire() {
    const refs = this.#refs;
    wireSound(refs.sound, refs.soundLabel, refs.video);
    wireFullscreen(refs.fullscreen, refs.stage);
    refs.retry.addEventListener('click', () => this.retryNow());
    for (const button of refs.keys.querySelectorAll('[data-action]')) {
      button.addEventListener('click', () => this.#act(button.dataset.action));
    }
    refs.typing.addEventListener('submit', (event) => this.#typeText(event));
    refs.clipboard.addEventListener('click', () => this.#sendClipboard());
    attachInput(refs.surface, refs.video, (action, fields) => this.#act(action, fields));
    // The stage takes the picture's shape where the page is narrow, so that none of its height is wasted.
    refs.video.addEventListener('resize', () => {
      const { videoWidth, videoHeight } = refs.video;
      if (videoHeight > 0) refs.stage.style.setProperty('--aspect', `${videoWidth} / ${videoHeight}`);
    });
  }
}
