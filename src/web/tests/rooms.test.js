import assert from 'node:assert/strict';
import { test } from 'node:test';

import { coverUrl } from '../js/cover.js';
import { clock, heat, short } from '../js/format.js';
import { inOrder } from '../js/lobby.js';
import { STATUS } from '../js/platform.js';
import { arrivalsText } from '../js/talk.js';
import { hue } from '../js/ui.js';

test('counts and heat fit on a badge', () => {
  const counts = [[0, '0'], [999, '999'], [999.6, '1.0k'], [1480, '1.5k'], [9960, '10k'], [34_200, '34k'], [999_499, '999k'], [999_600, '1.0M'], [12_000_000, '12M']];
  for (const [value, text] of counts) assert.equal(short(value), text);
  for (const [value, text] of [[0, '0.0'], [0.2, '0.2'], [99.94, '99.9'], [99.96, '100'], [1234, '1.2k']]) {
    assert.equal(heat(value), text);
  }
  for (const format of [short, heat, clock]) assert.equal(format(undefined), '–');
  assert.match(clock(0), /^\d\d:\d\d$/);
});

test('those who come are named while they are few', () => {
  const cases = [
    [{ joined: ['ada'], left: [] }, 'ada came in'],
    [{ joined: ['ada', 'bob'] }, 'ada and bob came in'],
    [{ joined: ['ada', 'bob', 'eve'] }, 'ada, bob and 1 other came in'],
    [{ joined: ['ada', 'bob', 'eve'], joined_count: 5000 }, 'ada, bob and 4998 others came in'],
    [{ joined: [], left: ['ada'] }, null],
    [{}, null],
  ];
  for (const [presence, text] of cases) assert.equal(arrivalsText(presence), text);
});

test('a cover is a picture that comes over https or from this server, and nothing else', () => {
  const base = 'https://live.example/#/rooms/1';
  assert.equal(coverUrl('/covers/1.jpg', base), 'https://live.example/covers/1.jpg');
  assert.equal(coverUrl('https://pictures.example/a b.png', base), 'https://pictures.example/a%20b.png');
  assert.equal(coverUrl('/covers/1.jpg', 'http://127.0.0.1:30006/'), 'http://127.0.0.1:30006/covers/1.jpg');
  const others = ['http://pictures.example/a.png', 'blob:https://live.example/1', '', null, undefined, 7, 'javascript:alert(1)', 'data:image/svg+xml,<svg/>', 'blob:x', 'http://', 'file:///x'];
  for (const other of others) assert.equal(coverUrl(other, base), null, `${other}`);
});

test('neighbouring rooms and users do not look the same', () => {
  const hues = Array.from({ length: 64 }, (_, n) => hue(`room ${n}`));
  assert.ok(hues.every((value) => value >= 0 && value < 360));
  const buckets = new Set(hues.map((value) => Math.floor(value / 30)));
  assert.ok(buckets.size >= 10, `${buckets.size} of 12`);
  assert.equal(hue('ada'), hue('ada'));
});

test('live rooms are listed by heat, others by what happened last', () => {
  const rooms = [
    { id: 1, updated_at: '2026-01-01T10:00:00Z' },
    { id: 2, updated_at: '2026-01-01T10:00:00.500Z' },
    { id: 3, updated_at: '2026-01-01T09:00:00Z' },
    { id: 4, updated_at: '2026-01-01T10:00:01Z' },
  ];
  const hot = new Map([[3, { heat: 7 }], [1, { heat: 2 }]]);
  const ids = (status) => inOrder(rooms, status, hot).map(({ id }) => id);
  assert.deepEqual(ids(STATUS.live), [3, 1, 4, 2]);
  for (const status of [STATUS.idle, STATUS.ended]) assert.deepEqual(ids(status), [4, 2, 1, 3]);
  assert.equal(rooms[0].id, 1, 'the list itself stays as it was');
});
