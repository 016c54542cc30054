/** What the server takes for device and user ids. */
const ID = /^[A-Za-z0-9._:@-]{1,128}$/;

export function isId(text) {
  return ID.test(text);
}

/** The room that `text` names; null when it names none. Room ids are integers of 1 to 2⁵³−1. */
export function roomId(text) {
  const id = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : 0;
  return id > 0 && Number.isSafeInteger(id) ? id : null;
}
