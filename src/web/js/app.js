/** The page: its header, and which of its areas the address names. */

import { NewRoom, SignIn } from './dialogs.js';
import { Devices } from './devices.js';
import { span } from './format.js';
import { roomId } from './ids.js';
import { me } from './identity.js';
import { DeviceList } from './list.js';
import { Lobby } from './lobby.js';
import { RoomPage } from './room.js';
import { ServerPage } from './server.js';
import { acknowledge, copyText, refs as refsOf, setData, setText } from './ui.js';
import { Watch } from './watch.js';

/** A click older than this, in ms, did not cause the navigation that is being handled. */
const CLICK_MS = 1000;

const refs = refsOf(document);
const devices = new Devices(render);
const list = new DeviceList(refs, devices);
const watch = new Watch(refs, devices);
const lobby = new Lobby(refs, () => room.ranked());
const room = new RoomPage(refs, lobby);
const server = new ServerPage(refs);
let clickedAt = 0;
let wasReachable = null;

function render({ devices: all, known, refusal, reachable, since }) {
  const live = all.filter((device) => device.live).length;
  const viewers = all.reduce((sum, device) => sum + (device.viewers ?? 0), 0);
  refs.fleet.hidden = refusal !== null;
  setText(refs.fleetLive, known ? String(live) : '–');
  setText(refs.fleetAll, known ? String(all.length) : '–');
  setText(refs.fleetAllWord, all.length === 1 ? 'device' : 'devices');
  setText(refs.fleetViewers, known ? String(viewers) : '–');
  setText(refs.fleetViewersWord, viewers === 1 ? 'viewer' : 'viewers');
  setData(document.body, 'reachable', reachable);
  refs.unreachable.hidden = reachable !== false;
  setText(refs.unreachableFor, span(performance.now() - since));
  list.render();
  watch.render();
  // The list was answered again after the server had been gone: no need to wait for the next try of anything else.
  if (reachable && wasReachable === false) {
    watch.retryNow();
    room.retryNow();
  }
  wasReachable = reachable;
}

/** Shows what the address names: `#/devices/{id}`, `#/rooms/{id}`, `#/rooms`, `#/server`, or the devices. */
function route() {
  if (location.hash === '' && me.comesForRooms) {
    location.replace('#/rooms');
    return;
  }
  const [, area, name] = /^#\/(devices|rooms|server)(?:\/(.+))?$/.exec(location.hash) ?? [null, 'devices', undefined];
  const device = area === 'devices' && name !== undefined ? decoded(name) : null;
  const id = area === 'rooms' && name !== undefined ? roomId(name) : null;
  const views = { devices: device === null ? 'list' : 'player', rooms: id === null ? 'lobby' : 'room', server: 'server' };
  const view = views[area];
  setData(document.body, 'view', view);
  refs.lobby.hidden = view !== 'lobby';
  refs.room.hidden = view !== 'room';
  refs.server.hidden = view !== 'server';
  refs.devices.hidden = area !== 'devices';
  for (const [link, of] of [[refs.navDevices, 'devices'], [refs.navRooms, 'rooms'], [refs.navServer, 'server']]) {
    if (area === of) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.title = device === null ? 'media-service' : `${device} · media-service`; // a room tells its own
  list.select(device);
  const now = performance.now();
  if (device === null) watch.close();
  else watch.open(device, now - clickedAt < CLICK_MS ? clickedAt : now);
  if (view === 'lobby') lobby.open();
  else lobby.close(view === 'room');
  if (view === 'server') server.open();
  else server.close();
  if (id === null) room.close();
  else room.open(id);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function renderUser() {
  const signedIn = me.token !== null;
  refs.user.value = me.userId;
  refs.user.readOnly = signedIn;
  refs.userLabel.hidden = me.required && !signedIn;
  refs.signIn.hidden = !me.required || signedIn;
  refs.signOut.hidden = !signedIn;
  refs.navServer.hidden = !me.seesServer;
}

function changeUser() {
  const valid = me.rename(refs.user.value.trim());
  refs.user.setAttribute('aria-invalid', String(!valid));
  refs.userHint.hidden = valid;
}

function wire() {
  refs.user.addEventListener('change', changeUser);
  refs.signOut.addEventListener('click', () => me.signOut());
  me.addEventListener('wanted', () => {
    renderUser();
    lobby.clear();
    server.clear();
  });
  me.addEventListener('change', () => {
    renderUser();
    if (me.required) {
      lobby.clear();
      server.clear();
      devices.renew();
    }
    // Signed in where there may be nothing to see.
    if (me.comesForRooms && document.body.dataset.view === 'list') location.hash = '#/rooms';
    else route();
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

new NewRoom(refs, devices);
new SignIn(refs);
wire();
renderUser();
route();
devices.poll();
