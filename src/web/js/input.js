import { contain, locate } from './picture.js';

/** Pointers that can touch at once; Android tracks ten. */
const POINTERS = 10;

/** Pixels of a wheel event that make one notch, by `deltaMode` (pixels, lines, pages). */
const NOTCH = [100, 3, 1];

/** Mouse buttons that are keys of the device, as in scrcpy: the middle one is Home, the right one Back. */
const BUTTON_ACTIONS = { 1: 'home', 2: 'back' };

/** Keys that stay with the browser: Tab, so that the keyboard can leave the picture, and what shortcuts begin with. */
const BROWSER_KEYS = /^(Tab|(Control|Alt|Meta|OS)(Left|Right)?)$/;

/**
 * Turns pointers, wheel and keys on the picture into control messages in the picture's own coordinates.
 *
 * @param {HTMLElement} surface receives the events and the focus
 * @param {HTMLVideoElement} video the picture, `object-fit: contain`
 * @param {(action: string, fields?: object) => void} send
 */
export function attachInput(surface, video, send) {
  const at = (event) => {
    const picture = contain(video.getBoundingClientRect(), video.videoWidth, video.videoHeight);
    return picture === null ? null : locate(picture, event.clientX, event.clientY);
  };
  attachPointers(surface, at, send);
  attachWheel(surface, at, send);
  attachKeys(surface, send);
}

function attachPointers(surface, at, send) {
  /** @type {Map<number, {pointer: number, x: number, y: number, moved: boolean}>} by the browser's pointer id */
  const touches = new Map();
  let frame = 0;

  const touch = (phase, { x, y, pointer }) => send('touch', { phase, x, y, pointer });
  const flush = () => {
    frame = 0;
    for (const held of touches.values()) {
      if (held.moved) touch('move', held);
      held.moved = false;
    }
  };
  const release = (phase) => (event) => {
    const held = touches.get(event.pointerId);
    if (held === undefined) return;
    if (held.moved) touch('move', held);
    touches.delete(event.pointerId);
    touch(phase, held);
  };

  surface.addEventListener('pointerdown', (event) => {
    surface.focus({ preventScroll: true });
    const point = at(event);
    if (event.target.closest('button') || !point?.inside) return;
    event.preventDefault();
    if (event.pointerType === 'mouse' && event.button !== 0) {
      if (BUTTON_ACTIONS[event.button]) send(BUTTON_ACTIONS[event.button]);
      return;
    }
    const pointer = freePointer(touches);
    if (pointer === null) return;
    surface.setPointerCapture(event.pointerId);
    const held = { pointer, x: point.x, y: point.y, moved: false };
    touches.set(event.pointerId, held);
    touch('down', held);
  });
  surface.addEventListener('pointermove', (event) => {
    const held = touches.get(event.pointerId);
    const point = held && at(event);
    if (!point || (point.x === held.x && point.y === held.y)) return;
    Object.assign(held, { x: point.x, y: point.y, moved: true });
    frame ||= requestAnimationFrame(flush);
  });
  surface.addEventListener('pointerup', release('up'));
  surface.addEventListener('pointercancel', release('cancel'));
  surface.addEventListener('contextmenu', (event) => event.preventDefault());
}

/** The lowest pointer number that is not held down. */
function freePointer(touches) {
  const taken = new Set([...touches.values()].map(({ pointer }) => pointer));
  for (let pointer = 0; pointer < POINTERS; pointer += 1) if (!taken.has(pointer)) return pointer;
  return null;
}

function attachWheel(surface, at, send) {
  let turned = null;
  const flush = () => {
    const { x, y, dx, dy } = turned;
    turned = null;
    send('scroll', { x, y, dx, dy });
  };
  const onwheel = (event) => {
    const point = at(event);
    // With Control the wheel zooms the page, with no picture below it scrolls it.
    if (!point?.inside || event.ctrlKey) return;
    event.preventDefault();
    const notch = NOTCH[event.deltaMode];
    if (turned === null) {
      turned = { dx: 0, dy: 0 };
      requestAnimationFrame(flush);
    }
    turned.x = point.x;
    turned.y = point.y;
    turned.dx += event.deltaX / notch;
    turned.dy += event.deltaY / notch;
  };
  surface.addEventListener('wheel', onwheel, { passive: false });
}

function attachKeys(surface, send) {
  const held = new Set();
  const release = (code) => {
    if (held.delete(code)) send('key', { code, phase: 'up' });
  };

  surface.addEventListener('keydown', (event) => {
    const ours = event.code !== '' && event.target === surface && !BROWSER_KEYS.test(event.code);
    if (!ours || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    event.preventDefault();
    held.add(event.code);
    send('key', { code: event.code, phase: 'down' });
  });
  surface.addEventListener('keyup', (event) => release(event.code));
  // A key that is let go elsewhere would stay down on the device.
  surface.addEventListener('blur', () => [...held].forEach(release));
  surface.addEventListener('paste', (event) => {
    const text = event.clipboardData.getData('text/plain');
    event.preventDefault();
    if (text !== '') send('clipboard', { text });
  });
}
