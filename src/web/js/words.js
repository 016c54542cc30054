/** What happened, in words for the person in front of the page. */

/** The server's machine-readable error codes. */
const ERRORS = {
  codec_not_negotiated: 'This browser cannot play the codec that the device sends.',
  no_agent: 'No agent on this device',
  too_many_candidates: 'The server took as many network candidates as it allows; the first ones are used.',
  bad_sdp: 'The server did not understand this browser’s answer.',
  no_open_offer: 'The answer came when no offer was open.',
  unknown_session: 'The session is gone.',
  unknown_room: 'There is no such room.',
  rate_limited: 'Too fast: wait a moment.',
  room_busy: 'The room is too busy right now.',
  overloaded: 'The server is too busy right now.',
  not_stored: 'The server could not keep this message.',
  no_token: 'Sign in first.',
  token_expired: 'Your token has expired: sign in again.',
  forbidden: 'Your token does not allow it.',
  bad_credentials: 'User name or password is wrong.',
  username_taken: 'This user name is taken.',
  no_jwt_secret: 'This server does not sign users in by password: use a token.',
};

/** Close codes of RFC 6455 §7.4.1 that a viewer or member can meet. */
const CLOSE_CODES = {
  1001: 'The server went away.',
  1006: 'The connection to the server was lost.',
  1008: 'The server refused the connection.',
  1009: 'A message was too large for the server.',
  1011: 'The server met an internal error.',
  1012: 'The server is restarting.',
  1013: 'The server is too busy.',
};

/** @param {{code?: unknown, error?: unknown}} message an error object of the server */
export function errorText(message) {
  if (typeof message.code === 'string' && Object.hasOwn(ERRORS, message.code)) return ERRORS[message.code];
  if (typeof message.error === 'string' && message.error !== '') return sentence(message.error);
  if (typeof message.code === 'string') return `The server reported “${message.code}”.`;
  return 'The server reported an error.';
}

/**
 * Why a room is not shown.
 *
 * @typedef {{name: string, head: string, detail: string}} Refusal
 * @param {{status: number, words: string}} error @returns {Refusal | null} null for what may pass by itself
 */
export function roomRefusal({ status, words }) {
  switch (status) {
    case 401:
      return { name: 'Signed out', head: 'Sign in to come in', detail: '' };
    case 403:
      return { name: 'Closed to you', head: 'This room is not open to you', detail: words };
    case 400:
    case 404:
      return { name: 'Not found', head: 'There is no such room', detail: 'Its address may be incomplete, or it was over long ago.' };
    default:
      return null;
  }
}

/** @param {unknown} reason of a `closing` message: a few words of the server */
export function closingText(reason, what = 'Session ended') {
  return typeof reason === 'string' && reason !== '' ? `${what}: ${reason}.` : `${what}.`;
}

export function closeCodeText(code) {
  return CLOSE_CODES[code] ?? 'The connection to the server was closed.';
}

/** Capital first, full stop last. */
function sentence(text) {
  const capital = text[0].toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}
