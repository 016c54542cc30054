import assert from 'node:assert/strict';
import { test } from 'node:test';

import { contain, locate } from '../js/picture.js';

const box = { left: 100, top: 50, width: 800, height: 600 };

test('a wide picture has bars above and below, a tall one at its sides', () => {
  assert.deepEqual(contain(box, 1280, 720), { left: 100, top: 125, width: 800, height: 450 });
  assert.deepEqual(contain(box, 300, 600), { left: 350, top: 50, width: 300, height: 600 });
});

test('without a picture or without room there is nothing to touch', () => {
  assert.equal(contain(box, 0, 0), null);
  assert.equal(contain({ ...box, width: 0 }, 1280, 720), null);
});

test('corners and centre of the picture are corners and centre of the device', () => {
  const picture = contain(box, 1280, 720);
  assert.deepEqual(locate(picture, 100, 125), { x: 0, y: 0, inside: true });
  assert.deepEqual(locate(picture, 900, 575), { x: 1, y: 1, inside: true });
  assert.deepEqual(locate(picture, 500, 350), { x: 0.5, y: 0.5, inside: true });
});

test('the bars are outside, and a finger that slides there stays on the edge', () => {
  const picture = contain(box, 1280, 720);
  assert.deepEqual(locate(picture, 500, 60), { x: 0.5, y: 0, inside: false });
  assert.deepEqual(locate(picture, 2000, 2000), { x: 1, y: 1, inside: false });
});

test('neighbouring pixels of a large picture stay apart', () => {
  const picture = { left: 0, top: 0, width: 3840, height: 2160 };
  const points = new Set(Array.from({ length: 3841 }, (_, pixel) => locate(picture, pixel, 0).x));
  assert.equal(points.size, 3841);
});
