/** A room's cover, and what stands in for one. */

import { hue, make, setData } from './ui.js';

/** The address of a cover that may be shown: of this server, or https; null for any other. */
export function coverUrl(cover, base) {
  if (typeof cover !== 'string' || cover === '') return null;
  try {
    const [url, page] = [new URL(cover, base), new URL(base)];
    const own = url.protocol === page.protocol && url.host === page.host;
    return own || url.protocol === 'https:' ? url.href : null;
  } catch {
    return null;
  }
}

/** Shows a room's cover in `element`: its picture, otherwise a colour of its own; of no room (null) nothing. */
export function showCover(element, room) {
  const url = room === null ? null : coverUrl(room.cover, location.href);
  setData(element, 'blank', room === null ? '' : null);
  if (room !== null) element.style.setProperty('--hue', String(hue(`room ${room.id}`)));
  const shown = element.querySelector('img');
  if ((shown?.src ?? null) === url) return;
  shown?.remove();
  setData(element, 'broken', null);
  if (url === null) return;
  // Who serves the picture is not told on which page it is seen.
  const picture = make('img', { alt: '', loading: 'lazy', decoding: 'async', referrerpolicy: 'no-referrer' });
  picture.addEventListener('error', () => setData(element, 'broken', ''));
  picture.src = url;
  element.prepend(picture);
}
