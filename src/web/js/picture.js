/**
 * Where the picture is inside of its box, and where a point is inside of the picture.
 *
 * @typedef {{left: number, top: number, width: number, height: number}} Rect in CSS pixels
 */

/** Digits kept of a coordinate in 0..1: a hundredth of a pixel at 1000 pixels. */
const PRECISION = 1e5;

/**
 * The part of `box` that a picture of `width` × `height` covers with `object-fit: contain`; null without a picture.
 *
 * @param {Rect} box
 * @returns {Rect | null}
 */
export function contain(box, width, height) {
  if (!(width > 0 && height > 0 && box.width > 0 && box.height > 0)) return null;
  const scale = Math.min(box.width / width, box.height / height);
  const covered = { width: width * scale, height: height * scale };
  return {
    left: box.left + (box.width - covered.width) / 2,
    top: box.top + (box.height - covered.height) / 2,
    ...covered,
  };
}

/**
 * The point in the picture's own coordinates, 0..1 from its top left. Points outside lie on the nearest edge, with
 * `inside` false.
 *
 * @param {Rect} picture
 */
export function locate(picture, clientX, clientY) {
  const x = (clientX - picture.left) / picture.width;
  const y = (clientY - picture.top) / picture.height;
  const inside = x >= 0 && x <= 1 && y >= 0 && y <= 1;
  return { x: clamp(x), y: clamp(y), inside };
}

function clamp(value) {
  return Math.round(Math.min(Math.max(value, 0), 1) * PRECISION) / PRECISION;
}
