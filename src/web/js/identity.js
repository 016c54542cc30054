/** Who the page is to the server: a token where the server wants one, otherwise a name. */

import { isId } from './ids.js';

/** Where the browser keeps the name, beyond the page's life. */
const NAME_KEY = 'media.userId';

/** Where it keeps the token, as long as the tab lives: what a token opens shall not outlast who signed in. */
const TOKEN_KEY = 'media.token';

/**
 * @typedef {{getItem(key: string): string | null, setItem(key: string, value: string): void, removeItem(key: string): void}} Keep
 *
 * Events: `change` when the user is another one, `wanted` when the server first asked for a token or refused ours.
 */
export class Identity extends EventTarget {
  /** Whether the server has asked for a token. */
  required = false;
  #names;
  #tokens;
  #now;
  #name;
  #token = null;
  #claims = null;
  /** Whether the person knows that a token is wanted. */
  #asked = false;

  /**
   * @param {Keep | null} names null where the browser forbids to keep anything: the name then lasts as long as the page
   * @param {Keep | null} tokens
   * @param {() => number} now Unix milliseconds
   */
  constructor(names, tokens, now = Date.now) {
    super();
    this.#names = names;
    this.#tokens = tokens;
    this.#now = now;
    this.#name = this.#storedName();
    this.required = this.#take(read(tokens, TOKEN_KEY));
  }

  /** The token, while it is worth anything. */
  get token() {
    if (this.#token !== null && this.#expired()) this.#take(null);
    return this.#token;
  }

  get userId() {
    return this.token === null ? this.#name : this.#claims.sub;
  }

  /** What the token allows, as far as the page may know; null without one. The server alone decides. */
  get role() {
    return this.token === null ? null : (this.#claims.role ?? 'viewer');
  }

  /** Whether starting rooms is worth offering. */
  get mayHaveRooms() {
    return this.required ? this.role === 'anchor' || this.role === 'admin' : true;
  }

  /** Whether the server's own figures are worth asking for. */
  get seesServer() {
    return this.required ? this.role === 'admin' : true;
  }

  /** Whether the rooms are what this user came for: devices are listed to administrators alone. */
  get comesForRooms() {
    return this.role === 'viewer' || this.role === 'anchor';
  }

  /** @returns {boolean} whether the name was taken: signed in, the token names the user */
  rename(name) {
    if (!isId(name) || this.token !== null) return false;
    if (name === this.#name) return true;
    this.#name = name;
    write(this.#names, NAME_KEY, name);
    this.dispatchEvent(new Event('change'));
    return true;
  }

  /** @returns {boolean} false when this is no token that names a user, or an expired one */
  signIn(token) {
    if (!this.#take(token)) return false;
    this.required = true;
    this.#asked = false;
    write(this.#tokens, TOKEN_KEY, token);
    this.dispatchEvent(new Event('change'));
    return true;
  }

  /** Whoever signs out is not asked to sign in again. */
  signOut() {
    this.#asked = true;
    this.#take(null);
    this.dispatchEvent(new Event('change'));
  }

  /** The server wants a token, or takes ours no more. */
  refused() {
    this.required = true;
    this.#take(null);
    if (this.#asked) return;
    this.#asked = true;
    this.dispatchEvent(new Event('wanted'));
  }

  #take(token) {
    const claims = token === null ? null : claimsOf(token);
    const usable = claims !== null && typeof claims.sub === 'string' && isId(claims.sub);
    this.#token = usable ? token : null;
    this.#claims = usable ? claims : null;
    if (usable && this.#expired()) this.#token = this.#claims = null;
    if (this.#token === null) write(this.#tokens, TOKEN_KEY, null);
    return this.#token !== null;
  }

  #expired() {
    const { exp } = this.#claims;
    return typeof exp === 'number' && exp * 1000 <= this.#now();
  }

  #storedName() {
    const kept = read(this.#names, NAME_KEY);
    if (kept !== null && isId(kept)) return kept;
    const random = crypto.getRandomValues(new Uint16Array(1))[0];
    const name = `web-${random.toString(16).padStart(4, '0')}`;
    write(this.#names, NAME_KEY, name);
    return name;
  }
}

/** What a JWT says (RFC 7519 §4), unverified: for display only. */
function claimsOf(token) {
  try {
    const payload = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(payload), (letter) => letter.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims === 'object' ? claims : null;
  } catch {
    return null;
  }
}

function read(keep, key) {
  try {
    return keep?.getItem(key) ?? null;
  } catch {
    return null;
  }
}

function write(keep, key, value) {
  try {
    if (value === null) keep?.removeItem(key);
    else keep?.setItem(key, value);
  } catch {
    // What cannot be kept lasts as long as the page.
  }
}

/** The browser's storage of this name; null outside of browsers and where it is forbidden. */
function storage(name) {
  try {
    return globalThis[name] ?? null;
  } catch {
    return null;
  }
}

/** Who this page is. */
export const me = new Identity(storage('localStorage'), storage('sessionStorage'));
