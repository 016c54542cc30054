import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bitrate, codec, count, fps, millis, percent, size, span } from '../js/format.js';
import { closeCodeText, closingText, errorText } from '../js/words.js';

const check = (format, cases) => {
  for (const [value, text] of cases) assert.equal(format(value), text);
};

test('figures keep their digits where they matter', () => {
  check(bitrate, [
    [0, '0 bit/s'],
    [999, '999 bit/s'],
    [64_000, '64 kbit/s'],
    [999_600, '1.00 Mbit/s'],
    [2_150_000, '2.15 Mbit/s'],
    [12_340_000, '12.3 Mbit/s'],
  ]);
  check(millis, [
    [0, '0 ms'],
    [0.42, '0.42 ms'],
    [0.999, '1.0 ms'],
    [7.31, '7.3 ms'],
    [9.99, '10 ms'],
    [182.4, '182 ms'],
  ]);
  check(percent, [
    [0, '0 %'],
    [0.0003, '0.03 %'],
    [0.042, '4.2 %'],
    [1, '100.0 %'],
  ]);
  check(fps, [
    [29.97, '30.0'],
    [0, '0.0'],
  ]);
  check(count, [
    [999, '999'],
    [1800, '1\u2009800'],
    [1234567, '1\u2009234\u2009567'],
  ]);
  check(span, [
    [-5, '0 s'],
    [4_200, '4 s'],
    [720_000, '12 min'],
    [11_100_000, '3 h 05'],
    [200_000_000, '2 d'],
  ]);
  check(codec, [
    ['h264', 'H.264'],
    ['video/VP8', 'VP8'],
    ['audio/opus', 'Opus'],
    ['av1', 'av1'],
  ]);
  assert.equal(size(1280, 720), '1280×720');
});

test('what is not known is a dash', () => {
  for (const format of [bitrate, millis, percent, fps, count, span, codec]) {
    for (const nothing of [null, undefined, Number.NaN]) assert.equal(format(nothing), '–');
  }
  assert.equal(size(0, 0), '–');
});

test('a code is put into words, an unknown one keeps the server’s sentence', () => {
  assert.match(errorText({ code: 'codec_not_negotiated' }), /codec/);
  assert.equal(errorText({ code: 'new_one', error: 'the disk is full' }), 'The disk is full.');
  assert.equal(errorText({ code: 'new_one' }), 'The server reported “new_one”.');
  assert.equal(errorText({ code: 'toString' }), 'The server reported “toString”.');
  assert.equal(errorText({}), 'The server reported an error.');
  assert.equal(closingText('idle for too long'), 'Session ended: idle for too long.');
  assert.equal(closingText(undefined), 'Session ended.');
  assert.match(closeCodeText(1006), /lost/);
  assert.match(closeCodeText(4321), /closed/);
});
