import { codec, bitrate, fps, size, span } from './format.js';
import { drawSpark } from './spark.js';
import { make, setData, setText } from './ui.js';

/** Rows drawn at most: a list longer than this is searched, not read. */
const ROWS = 500;

/** Slots of a row's trend: as many as polls are remembered. */
const TREND_SLOTS = 60;

/** Cells of a row, in reading order, by class. */
const CELLS = ['id', 'state', 'video', 'audio', 'fps', 'rate', 'viewers', 'publisher', 'since'];

/** What is said where there are no devices. */
const NONE = ['No device is sending', 'Send one from a terminal; it appears here within two seconds.'];

/** @typedef {import('./api.js').Device} Device */

/** The list of devices; rows stay in place from poll to poll, so that focus and pointer do too. */
export class DeviceList {
  /** @type {Map<string, {item: HTMLElement, link: HTMLElement, cells: object, trend: HTMLCanvasElement}>} */
  #rows = new Map();
  #refs;
  #devices;
  #current = null;
  #empty = false;

  /**
   * @param {Record<string, HTMLElement>} refs
   * @param {import('./devices.js').Devices} devices
   */
  constructor(refs, devices) {
    this.#refs = refs;
    this.#devices = devices;
    refs.filter.addEventListener('input', () => this.render());
  }

  /** Marks the device that is being watched. */
  select(deviceId) {
    this.#current = deviceId;
    this.render();
  }

  render() {
    const { devices, known, reachable, refusal } = this.#devices.fleet;
    const filter = this.#refs.filter.value.trim().toLowerCase();
    const matching = devices.filter(({ deviceId }) => deviceId.toLowerCase().includes(filter));
    const drawn = matching.slice(0, ROWS);

    const gone = new Set(this.#rows.keys());
    drawn.forEach((device, index) => {
      gone.delete(device.deviceId);
      this.#place(this.#row(device), index);
    });
    for (const deviceId of gone) {
      this.#rows.get(deviceId).item.remove();
      this.#rows.delete(deviceId);
    }
    setText(this.#refs.more, moreText(devices.length, matching.length, drawn.length));
    this.#refs.more.hidden = this.#refs.more.textContent === '';
    const [head, detail] = refusal === null ? NONE : refusedWords(refusal);
    setText(this.#refs.noneHead, head);
    setText(this.#refs.noneDetail, detail);
    this.#refs.none.hidden = reachable !== true || (refusal === null && (!known || devices.length > 0));
    this.#refs.columns.hidden = drawn.length === 0;
    this.#refs.find.hidden = devices.length === 0;
    this.#refs.publishing.hidden = reachable !== true || !known;
    this.#showPublishing(reachable === true && known && devices.length === 0);
  }

  /** Opens the commands as the list becomes empty, closes them as it fills; in between the person decides. */
  #showPublishing(empty) {
    if (empty === this.#empty) return;
    this.#empty = empty;
    this.#refs.publishing.open = empty;
  }

  #place({ item }, index) {
    const { rows } = this.#refs;
    if (rows.children[index] !== item) rows.insertBefore(item, rows.children[index] ?? null);
  }

  /** @param {Device} device */
  #row(device) {
    const { deviceId, live, viewers } = device;
    let row = this.#rows.get(deviceId);
    if (row === undefined) {
      row = makeRow(deviceId);
      this.#rows.set(deviceId, row);
    }
    const { link, cells, trend } = row;
    setData(link, 'live', live);
    if (deviceId === this.#current) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
    setText(cells.state, live ? 'Live' : 'Off');
    setText(cells.video, videoText(device.video));
    setText(cells.audio, device.audio ? codec(device.audio.codec) : '–');
    setText(cells.fps, live && device.video ? `${fps(device.video.fps, 0)} fps` : '–');
    setText(cells.rate, live && device.video ? bitrate(device.video.bitrateBps) : '–');
    setText(cells.viewers, `${viewers} ${viewers === 1 ? 'viewer' : 'viewers'}`);
    setText(cells.publisher, publisherText(device.publisher));
    const since = device.publisher?.since ?? device.since;
    setText(cells.since, since ? span(Date.now() - Date.parse(since)) : '–');
    cells.since.title = since ?? '';
    drawSpark(trend, this.#devices.history(deviceId), TREND_SLOTS);
    return row;
  }
}

function makeRow(deviceId) {
  const cells = Object.fromEntries(CELLS.map((name) => [name, make('span', { class: `cell ${name}` })]));
  setText(cells.id, deviceId);
  cells.id.title = deviceId;
  const trend = make('canvas', { class: 'cell trend', 'aria-hidden': 'true' });
  const href = `#/devices/${encodeURIComponent(deviceId)}`;
  const link = make('a', { class: 'device', href, 'data-device-id': deviceId });
  link.append(...CELLS.map((name) => cells[name]));
  cells.rate.after(trend);
  return { item: make('li', {}, link), link, cells, trend };
}

/** @param {Device['video']} video */
function videoText(video) {
  return video ? `${codec(video.codec)} ${size(video.width, video.height)}` : '–';
}

/** @param {Device['publisher']} publisher */
function publisherText(publisher) {
  return publisher ? `${publisher.kind} ${publisher.address ?? ''}`.trim() : '–';
}

function moreText(all, matching, drawn) {
  if (all > 0 && matching === 0) return 'No device has that in its name.';
  return matching > drawn ? `${matching - drawn} more: narrow the search to see them.` : '';
}

/** Headline and detail. @param {import('./http.js').ApiError} refusal */
function refusedWords({ status, code, words }) {
  if (status === 401) return ['Sign in to see the devices', ''];
  if (code === 'forbidden') return ['Devices are listed to administrators', 'One that is open to you can be watched at its own address.'];
  return ['The devices are not listed here', words];
}
