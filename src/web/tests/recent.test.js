import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Recent } from '../js/recent.js';

test('the newest are kept in their order, the others are counted', () => {
  const recent = new Recent(3);
  for (let n = 1; n <= 10; n += 1) recent.push(n);
  assert.deepEqual(recent.take(), [8, 9, 10]);
  assert.equal(recent.dropped, 7);
  assert.deepEqual(recent.take(), []);
});

test('a flood costs a bounded memory', () => {
  const recent = new Recent(100);
  for (let n = 0; n < 100_000; n += 1) {
    recent.push(n);
    assert.ok(recent.length < 200);
  }
  assert.equal(recent.take().at(-1), 99_999);
});
