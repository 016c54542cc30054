import assert from 'node:assert/strict';
import { test } from 'node:test';

import { BANNERS, Banners, GIFTS, QUEUE, SHOWN_MS, readGift } from '../js/gifts.js';

test('a gift is read whatever others send in it', () => {
  assert.deepEqual(readGift({ content: 'Rose', data: { gift: 'rose', value: 1, count: 3 } }), {
    icon: 'rose',
    name: 'Rose',
    count: 3,
    value: 1,
    grand: false,
  });
  assert.ok(readGift({ data: { gift: 'rocket', value: 520 } }).grand);
  for (const data of [undefined, null, 'text', 7, [], { gift: '__proto__', count: -1, value: 'x' }, { count: 1.5 }]) {
    assert.deepEqual(readGift({ content: 'Cake', data }), {
      icon: 'gift',
      name: 'Cake',
      count: 1,
      value: 0,
      grand: false,
    });
  }
  assert.equal(readGift({}).name, 'A gift');
});

test('the same gift of the same user counts up on its banner', () => {
  const banners = new Banners();
  const rose = readGift({ data: { gift: 'rose' } });
  banners.add('ada', rose, 0);
  banners.add('bob', rose, 10);
  banners.add('ada', rose, SHOWN_MS - 1);
  assert.deepEqual(banners.shown.map(({ user, count }) => [user, count]), [['ada', 2], ['bob', 1]]);
  banners.step(SHOWN_MS + 10);
  assert.deepEqual(banners.shown.map(({ user }) => user), ['ada'], 'the count keeps its banner up');
  assert.equal(banners.next, 2 * SHOWN_MS - 1);
});

test('a rain of gifts shows a few at a time, and a bounded number after all', () => {
  const banners = new Banners();
  const gifts = GIFTS.map(({ gift }) => readGift({ data: { gift } }));
  for (let n = 0; n < 1000; n += 1) banners.add(`user-${n}`, gifts[n % gifts.length], 0);
  let shown = 0;
  for (let now = 0; banners.shown.length > 0; now += SHOWN_MS) {
    assert.ok(banners.shown.length <= BANNERS);
    shown += banners.shown.length;
    banners.step(now + SHOWN_MS);
  }
  assert.equal(shown, BANNERS + QUEUE);
  assert.equal(banners.next, null);
});
