import { Flights } from './flights.js';

/** Height of a lane and of its text, in CSS pixels; smaller on a narrow stage. */
const LANE = { wide: 40, narrow: 30 };
const FONT = { wide: 21, narrow: 16 };

/** A stage narrower than this is narrow. */
const NARROW = 640;

/** Part of the stage's height that messages may cover: faces and subtitles are below. */
const COVERED = 0.75;

/** Characters that fly of a message; all of it is in the chat. */
const LENGTH = { wide: 60, narrow: 30 };

/** Around a text: room for its outline. */
const MARGIN = 4;

/** Between two lanes, in CSS pixels. */
const SPACE = 8;

/** Pixels a CSS pixel at most: more cannot be seen in motion, and costs fill rate on phones. */
const RATIO = 2;

/** Drawn texts kept for reuse. */
const POOL = 40;

/**
 * Draws messages that fly over the picture. Each text is drawn once, into a small canvas of its own; a frame only
 * copies those. Nothing runs while nothing flies, nor in a hidden tab, nor for who prefers less motion.
 */
export class Danmaku {
  flights = new Flights();
  #canvas;
  #context;
  #ratio = 1;
  #narrow = false;
  #frame = 0;
  #on = true;
  /** @type {Map<import('./flights.js').Item, HTMLCanvasElement>} */
  #sprites = new Map();
  /** @type {HTMLCanvasElement[]} */
  #pool = [];
  #ruler = document.createElement('canvas').getContext('2d');
  #still = window.matchMedia('(prefers-reduced-motion: reduce)');

  /** @param {HTMLCanvasElement} canvas which fills its stage */
  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d');
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#still.addEventListener('change', () => this.clear());
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.clear();
    });
  }

  get on() {
    return this.#on && !this.#still.matches;
  }

  set on(on) {
    this.#on = on;
    if (!on) this.clear();
  }

  /** @param {import('./flights.js').Item} item */
  fly(item) {
    if (!this.on || document.hidden) return;
    this.flights.offer(item, performance.now(), (item) => this.#measure(item));
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  clear() {
    this.flights.clear().forEach((item) => this.#recycle(item));
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    this.#ratio = Math.min(window.devicePixelRatio || 1, RATIO);
    this.#narrow = width < NARROW;
    this.#canvas.width = Math.round(width * this.#ratio);
    this.#canvas.height = Math.round(height * this.#ratio);
    this.flights.lanes.resize(width, height * COVERED, this.#of(LANE));
  }

  #of({ narrow, wide }) {
    return this.#narrow ? narrow : wide;
  }

  #draw() {
    const now = performance.now();
    const { flights } = this;
    for (const item of flights.step(now)) this.#recycle(item);
    const context = this.#context;
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    const lane = this.#of(LANE);
    for (const flight of flights.flying) {
      const left = flights.lanes.x(flight, now);
      if (left > flights.lanes.width) continue;
      const sprite = this.#sprites.get(flight.item) ?? this.#sprite(flight);
      // Whole pixels: in between, each copy would have to be filtered.
      context.drawImage(sprite, Math.round(left * this.#ratio), Math.round((flight.lane * lane + SPACE) * this.#ratio));
    }
    this.#frame = flights.flying.length > 0 ? requestAnimationFrame(() => this.#draw()) : 0;
  }

  /** Width of a message with its margins. */
  #measure({ text, own }) {
    this.#ruler.font = this.#font;
    return Math.ceil(this.#ruler.measureText(this.#shown(text)).width) + 2 * inset(own);
  }

  /** Draws a text into a canvas of its own. */
  #sprite({ item, width }) {
    const sprite = this.#pool.pop() ?? document.createElement('canvas');
    const height = this.#of(LANE) - SPACE;
    sprite.width = Math.ceil(width * this.#ratio);
    sprite.height = Math.ceil(height * this.#ratio);
    const context = sprite.getContext('2d');
    context.scale(this.#ratio, this.#ratio);
    Object.assign(context, { font: this.#font, textBaseline: 'middle', lineJoin: 'round', lineWidth: 3 });
    context.strokeStyle = 'rgb(0 0 0 / 70%)';
    context.fillStyle = '#ffffff';
    const text = this.#shown(item.text);
    context.strokeText(text, inset(item.own), height / 2);
    context.fillText(text, inset(item.own), height / 2);
    if (item.own) frame(context, width, height);
    this.#sprites.set(item, sprite);
    return sprite;
  }

  #shown(text) {
    return shortened(text, this.#of(LENGTH));
  }

  get #font() {
    return `600 ${this.#of(FONT)}px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif`;
  }

  #recycle(item) {
    const sprite = this.#sprites.get(item);
    this.#sprites.delete(item);
    if (sprite !== undefined && this.#pool.length < POOL) this.#pool.push(sprite);
  }
}

/** Where a text begins: inside of its frame where it has one. */
function inset(own) {
  return own ? 3 * MARGIN : MARGIN;
}

/** Our own message is told apart by a frame, as the field does. */
function frame(context, width, height) {
  context.lineWidth = 1.5;
  context.strokeStyle = '#ffffff';
  context.strokeRect(1, 1, width - 2, height - 2);
}

function shortened(text, length) {
  const letters = [...text.slice(0, 4 * length).replace(/\s+/g, ' ')];
  return letters.length > length ? `${letters.slice(0, length).join('')}…` : letters.join('');
}
