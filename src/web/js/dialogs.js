/** Forms over the page: a new room, and signing in. */

import { ApiError } from './http.js';
import { me } from './identity.js';
import { createRoom, login, signUp, startRoom } from './platform.js';
import { make, setText } from './ui.js';
import { errorText } from './words.js';

/** Makes a room and goes there. */
export class NewRoom {
  #refs;
  #devices;

  /** @param {Record<string, HTMLElement>} refs @param {import('./devices.js').Devices} devices */
  constructor(refs, devices) {
    this.#refs = refs;
    this.#devices = devices;
    refs.newRoom.addEventListener('click', () => this.open());
    refs.newRoomForm.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#make();
    });
    refs.newRoomCancel.addEventListener('click', () => refs.newRoomDialog.close());
  }

  async open() {
    const { newRoomDialog, newRoomError, roomDevices } = this.#refs;
    setText(newRoomError, '');
    newRoomDialog.showModal();
    await this.#devices.poll();
    const live = this.#devices.fleet.devices.filter((device) => device.live);
    roomDevices.replaceChildren(...live.map(({ deviceId }) => make('option', { value: deviceId })));
  }

  #make() {
    const { newTitle, newCover, newDevice, newStart, newRoomDialog, newRoomForm, newRoomError, newRoomMake } = this.#refs;
    const device = newDevice.value.trim();
    const room = { title: newTitle.value.trim(), cover: newCover.value.trim() };
    return submitting(newRoomMake, newRoomError, async () => {
      const { id } = await createRoom(device === '' ? room : { ...room, device_id: device });
      if (newStart.checked) await startRoom(id);
      newRoomDialog.close();
      newRoomForm.reset();
      location.hash = `#/rooms/${id}`;
    });
  }
}

/** Signs in by password, as a new user, or by a token that somebody was given. */
export class SignIn {
  #refs;
  /** What the form does, by its chosen way. */
  #ways = {
    login: (name, secret) => login(name, secret),
    signup: (name, secret) => signUp(name, secret).then(() => login(name, secret)),
    token: async (_, secret) => secret,
  };

  /** @param {Record<string, HTMLElement>} refs */
  constructor(refs) {
    this.#refs = refs;
    refs.signInForm.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    refs.signInForm.addEventListener('change', () => this.#follow());
    refs.signInCancel.addEventListener('click', () => refs.signInDialog.close());
    refs.signIn.addEventListener('click', () => this.open());
    me.addEventListener('wanted', () => this.open());
  }

  open() {
    const { signInDialog, signInError } = this.#refs;
    if (signInDialog.open) return;
    setText(signInError, '');
    this.#follow();
    signInDialog.showModal();
  }

  get #way() {
    return new FormData(this.#refs.signInForm).get('way');
  }

  #follow() {
    const { signInName, signInNameRow, signInSecret, signInSecretLabel, signInGo } = this.#refs;
    const way = this.#way;
    signInNameRow.hidden = way === 'token';
    signInName.required = way !== 'token';
    setText(signInSecretLabel, way === 'token' ? 'Token' : 'Password');
    signInSecret.minLength = way === 'signup' ? 8 : 1;
    signInSecret.autocomplete = { login: 'current-password', signup: 'new-password', token: 'off' }[way];
    setText(signInGo, way === 'signup' ? 'Sign up' : 'Sign in');
  }

  #submit() {
    const { signInDialog, signInName, signInSecret, signInError, signInGo } = this.#refs;
    return submitting(signInGo, signInError, async () => {
      const token = await this.#ways[this.#way](signInName.value.trim(), signInSecret.value.trim());
      if (!me.signIn(token)) throw new Error('this is not a token that names a user, or it has expired');
      signInSecret.value = '';
      signInDialog.close();
    });
  }
}

/** Runs what a form is for, once at a time, and says why it failed. */
async function submitting(button, complaint, task) {
  button.disabled = true;
  setText(complaint, '');
  try {
    await task();
  } catch (error) {
    const answered = error instanceof ApiError;
    const unreachable = !answered && error.name !== 'Error';
    setText(complaint, unreachable ? 'The server cannot be reached.' : errorText({ code: error.code, error: error.message }));
  } finally {
    button.disabled = false;
  }
}
