import { isId } from './api.js';
import { Control } from './control.js';
import { Devices } from './devices.js';
import { span } from './format.js';
import { attachInput } from './input.js';
import { DeviceList } from './list.js';
import { Panel } from './panel.js';
import { Player } from './player.js';
import { acknowledge, copyText, refs as refsOf, setData, setText } from './ui.js';

/** Where the browser keeps the viewer's name. */
const USER_KEY = 'media.userId';

/** What the server takes as text or clipboard of one control message, in bytes of UTF-8. */
const TEXT_BYTES = 16_384;

/** A click older than this, in ms, did not cause the navigation that is being handled. */
const CLICK_MS = 1000;

const refs = refsOf(document);
const devices = new Devices(render);
const list = new DeviceList(refs, devices);
const panel = new Panel(refs.player, refs);
const control = new Control((message) => player.send(message));
const player = new Player(refs.video, refs.still, {
  onchange: () => renderPlayer(),
  onsession: () => control.reset(),
  onmessage: (message) => {
    const taken = control.receive(message);
    if (taken && message.type === 'ack') player.note('');
    if (taken) renderPlayer();
    return taken;
  },
});
let userId = loadUserId();
let clickedAt = 0;
let wasReachable = null;

function render({ devices: all, reachable, since }) {
  const live = all.filter((device) => device.live).length;
  const viewers = all.reduce((sum, device) => sum + (device.viewers ?? 0), 0);
  setText(refs.fleetLive, String(live));
  setText(refs.fleetAll, String(all.length));
  setText(refs.fleetAllWord, all.length === 1 ? 'device' : 'devices');
  setText(refs.fleetViewers, String(viewers));
  setText(refs.fleetViewersWord, viewers === 1 ? 'viewer' : 'viewers');
  setData(document.body, 'reachable', reachable);
  refs.unreachable.hidden = reachable !== false;
  setText(refs.unreachableFor, span(performance.now() - since));
  list.render();
  renderPlayer();
  // The list was answered again after the server had been gone: no need to wait for the player's own next try.
  if (reachable && wasReachable === false) player.retryNow();
  wasReachable = reachable;
}

function renderPlayer() {
  panel.render(player.view, control.figures, devices.find(player.view.deviceId));
}

/** Shows what the address names: `#/devices/{id}` or the list. */
function route() {
  const match = /^#\/devices\/(.+)$/.exec(location.hash);
  const deviceId = match === null ? null : decoded(match[1]);
  setData(document.body, 'view', deviceId === null ? 'list' : 'player');
  document.title = deviceId === null ? 'media-service' : `${deviceId} · media-service`;
  list.select(deviceId);
  if (deviceId === null) {
    player.close();
    return;
  }
  const now = performance.now();
  player.open(deviceId, userId, now - clickedAt < CLICK_MS ? clickedAt : now);
  refs.surface.focus({ preventScroll: true });
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function loadUserId() {
  try {
    const kept = localStorage.getItem(USER_KEY);
    if (kept !== null && isId(kept)) return kept;
  } catch {
    // Storage may be forbidden; the name then lasts as long as the page.
  }
  const random = crypto.getRandomValues(new Uint16Array(1))[0];
  return saveUserId(`web-${random.toString(16).padStart(4, '0')}`);
}

function saveUserId(name) {
  try {
    localStorage.setItem(USER_KEY, name);
  } catch {
    // See `loadUserId`.
  }
  return name;
}

function changeUser() {
  const name = refs.user.value.trim();
  const valid = isId(name);
  refs.user.setAttribute('aria-invalid', String(!valid));
  refs.userHint.hidden = valid;
  if (!valid || name === userId) return;
  userId = saveUserId(name);
  const { deviceId } = player.view;
  if (deviceId !== null) player.open(deviceId, userId, performance.now());
}

function act(action, fields) {
  if (fields?.text !== undefined && new TextEncoder().encode(fields.text).length > TEXT_BYTES) {
    player.note(`This text is too long for the device: ${TEXT_BYTES / 1024} KiB at most.`);
    return false;
  }
  const left = control.send(action, fields);
  renderPlayer();
  return left;
}

async function sendClipboard() {
  const typed = refs.text.value;
  try {
    const text = typed || (await navigator.clipboard.readText());
    if (text !== '') acknowledge(refs.clipboard, act('clipboard', { text }) ? 'Sent' : 'Not sent');
  } catch {
    // The browser keeps its clipboard to itself, so the text has to go through the field.
    refs.text.focus();
    acknowledge(refs.clipboard, 'Paste it left');
  }
}

function typeText(event) {
  event.preventDefault();
  const text = refs.text.value;
  if (text !== '' && act('text', { text })) refs.text.value = '';
}

function setMuted(muted) {
  refs.video.muted = muted;
  refs.sound.setAttribute('aria-pressed', String(!muted));
  setText(refs.soundLabel, muted ? 'Sound is off' : 'Sound is on');
}

function wire() {
  refs.user.value = userId;
  refs.user.addEventListener('change', changeUser);
  refs.sound.addEventListener('click', () => setMuted(!refs.video.muted));
  refs.fullscreen.hidden = !document.fullscreenEnabled;
  refs.fullscreen.addEventListener('click', () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else refs.stage.requestFullscreen();
  });
  refs.retry.addEventListener('click', () => player.retryNow());
  for (const button of refs.keys.querySelectorAll('[data-action]')) {
    button.addEventListener('click', () => act(button.dataset.action));
  }
  refs.typing.addEventListener('submit', typeText);
  refs.clipboard.addEventListener('click', sendClipboard);
  attachInput(refs.surface, refs.video, act);
  // The stage takes the picture's shape where the page is narrow, so that none of its height is wasted.
  refs.video.addEventListener('resize', () => {
    const { videoWidth, videoHeight } = refs.video;
    if (videoHeight > 0) refs.stage.style.setProperty('--aspect', `${videoWidth} / ${videoHeight}`);
  });

  for (const command of document.querySelectorAll('[data-command]')) {
    setText(command, command.textContent.replaceAll('{origin}', location.origin));
  }
  for (const button of document.querySelectorAll('[data-copies]')) {
    button.addEventListener('click', () => {
      const command = document.getElementById(button.dataset.copies);
      copyText(command.textContent).then(
        () => acknowledge(button, 'Copied'),
        () => getSelection().selectAllChildren(command),
      );
    });
  }
  document.addEventListener('click', (event) => {
    if (event.target.closest('[data-device-id]')) clickedAt = event.timeStamp;
  });
  window.addEventListener('hashchange', route);
}

wire();
route();
devices.poll();
