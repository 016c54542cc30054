import { bitrate, codec, count, fps, millis, percent, size } from './format.js';
import { drawSpark } from './spark.js';
import { HISTORY } from './stats.js';
import { setData, setText } from './ui.js';

/**
 * @typedef {import('./player.js').View} View
 * @typedef {import('./control.js').ControlFigures} ControlFigures
 * @typedef {import('./api.js').Device} Device
 */

/** What the pill says, by state. */
const STATES = {
  idle: 'Idle',
  connecting: 'Connecting',
  waiting: 'Waiting for picture',
  playing: 'Live',
  stalled: 'Picture stands still',
  reconnecting: 'Reconnecting',
  failed: 'Cannot play',
};

const NO_AGENT = 'No agent on this device: it can be watched, not controlled.';

/**
 * Shows the player's state, in words and figures for a person and in data attributes for whoever automates the page.
 */
export class Panel {
  #root;
  #refs;

  /** @param {HTMLElement} root @param {Record<string, HTMLElement>} refs */
  constructor(root, refs) {
    this.#root = root;
    this.#refs = refs;
  }

  /** @param {View} view @param {ControlFigures} control @param {Device | undefined} device */
  render(view, control, device) {
    // What the last message met is newer than the list; before the first one the list knows.
    const agent = control.agent ?? device?.agent;
    this.#root.hidden = view.state === 'idle';
    this.#attributes(view, control, agent);
    if (view.state === 'idle') return;
    const refs = this.#refs;
    setText(refs.title, view.deviceId);
    setText(refs.pill, STATES[view.state]);
    this.#message(view, device);
    setText(refs.notice, view.notice || (agent === false ? NO_AGENT : ''));
    setData(refs.notice, 'quiet', view.notice === '' ? '' : null);
    refs.notice.hidden = refs.notice.textContent === '';
    // They share a line, so that the picture does not jump.
    refs.hint.hidden = !refs.notice.hidden;
    this.#figures(view, device);
    this.#server(view.server);
    setText(refs.controlLast, millis(control.lastMs));
    setText(refs.controlMedian, millis(control.medianMs));
    setText(refs.controlVia, agent === false ? 'no agent' : (control.via ?? '–'));
    drawSpark(refs.fpsSpark, view.history.fps, HISTORY);
    drawSpark(refs.bitrateSpark, view.history.bitrate, HISTORY);
  }

  #attributes(view, control, agent) {
    const { figures } = view;
    const shown = {
      state: view.state,
      deviceId: view.deviceId,
      sessionId: view.sessionId,
      sessions: view.sessions,
      ice: view.ice,
      why: view.why || null,
      notice: view.notice || null,
      joinMs: rounded(view.joinMs),
      rejoinMs: rounded(view.rejoinMs),
      shown: view.shown,
      frames: figures?.framesDecoded,
      dropped: figures?.framesDropped,
      freezes: figures?.freezes,
      fps: rounded(figures?.fps),
      bitrateBps: rounded(figures?.bitrateBps),
      loss: figures?.lossRatio,
      rttMs: rounded(figures?.rttMs),
      jitterMs: rounded(figures?.jitterMs),
      width: figures?.width,
      height: figures?.height,
      codec: figures?.codec,
      controlVia: control.via,
      controlAcks: control.acks,
      controlLastMs: rounded(control.lastMs),
      controlMedianMs: rounded(control.medianMs),
      agent,
    };
    for (const [name, value] of Object.entries(shown)) setData(this.#root, name, value);
  }

  #message(view, device) {
    const { message, headline, detail, retry } = this.#refs;
    const [head, more] = messageFor(view, device);
    message.hidden = head === '';
    setText(headline, head);
    setText(detail, more);
    retry.hidden = view.retryAt === null;
  }

  #figures({ figures, joinMs, rejoinMs, ice, sessionId }, device) {
    const refs = this.#refs;
    setText(refs.join, millis(joinMs));
    setText(refs.rejoin, millis(rejoinMs));
    setText(refs.fps, fps(figures?.fps));
    setText(refs.bitrate, bitrate(figures?.bitrateBps));
    setText(refs.loss, percent(figures?.lossRatio));
    setText(refs.rtt, millis(figures?.rttMs));
    setText(refs.jitter, millis(figures?.jitterMs));
    setText(refs.buffer, millis(figures?.bufferMs));
    setText(refs.decode, millis(figures?.decodeMs));
    setText(refs.size, size(figures?.width, figures?.height));
    setText(refs.codec, codec(figures?.codec));
    setText(refs.audioCodec, codec(figures?.audioCodec));
    setText(refs.freezes, count(figures?.freezes));
    setText(refs.frames, count(figures?.framesDecoded));
    setText(refs.dropped, count(figures?.framesDropped));
    setText(refs.path, figures?.path ?? '–');
    setText(refs.ice, ice ?? '–');
    setText(refs.session, sessionId ?? '–');
    setText(refs.viewers, count(device?.viewers));
  }

  #server(server) {
    const refs = this.#refs;
    const video = server?.video;
    setText(refs.serverRtt, millis(video?.rttMs));
    setText(refs.serverLoss, percent(video?.lossRatio));
    setText(refs.serverSent, count(video?.packetsSent));
    setText(refs.serverNacks, count(video?.nacks));
    setText(refs.serverPlis, count(video?.plis));
  }
}

/** Headline and detail over the picture; empty while all is well. */
function messageFor(view, device) {
  const silent = device !== undefined && !device.live;
  switch (view.state) {
    case 'connecting':
      return ['Connecting', view.sessionId === null ? 'Asking the server for a session.' : 'Finding the media path.'];
    case 'waiting':
      if (silent) return ['The device is not sending', 'Its picture appears as soon as it does.'];
      return ['Waiting for the picture', 'The media path stands.'];
    case 'stalled':
      if (silent) return ['The device stopped sending', 'The picture runs on as soon as it sends again.'];
      return ['The picture stands still', 'The connection stands, but no frame comes.'];
    case 'reconnecting':
      return ['Reconnecting', `${view.why} ${whenText(view.retryAt)}`];
    case 'failed':
      return ['This cannot be played', view.why];
    default:
      return ['', ''];
  }
}

function whenText(retryAt) {
  if (retryAt === null) return 'Trying now.';
  const seconds = Math.ceil((retryAt - performance.now()) / 1000);
  return seconds > 1 ? `Next try in ${seconds} s.` : 'Next try in a moment.';
}

/** Keeps a tenth, which is finer than any of these figures is true. */
function rounded(value) {
  return typeof value === 'number' ? Math.round(value * 10) / 10 : value;
}
