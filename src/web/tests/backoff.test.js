import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Backoff } from '../js/backoff.js';

const delays = (random, attempts) => {
  const backoff = new Backoff(() => random);
  return Array.from({ length: attempts }, () => backoff.next());
};

test('delays double from half a second and stay at eight', () => {
  assert.deepEqual(delays(1, 7), [500, 1000, 2000, 4000, 8000, 8000, 8000]);
});

test('jitter takes away up to half', () => {
  assert.deepEqual(delays(0, 6), [250, 500, 1000, 2000, 4000, 4000]);
});

test('a success starts over', () => {
  const backoff = new Backoff(() => 1);
  backoff.next();
  backoff.next();
  backoff.reset();
  assert.equal(backoff.next(), 500);
});

test('a server that is away for a week does not bring about an odd delay', () => {
  assert.equal(delays(1, 100_000).at(-1), 8000);
});
