import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Flights, ON_STAGE, PATIENCE_MS } from '../js/flights.js';
import { FLIGHT_MS, LANES, Lanes } from '../js/lanes.js';

const stage = (width = 1000, height = 400, laneHeight = 40) => {
  const lanes = new Lanes();
  lanes.resize(width, height, laneHeight);
  return lanes;
};

/** A repeatable sequence in 0..1. */
function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

test('a message crosses from right to left in its time', () => {
  const lanes = stage();
  const flight = lanes.book(200, 0, 0);
  assert.equal(lanes.x(flight, 0), 1000);
  assert.equal(lanes.x(flight, FLIGHT_MS / 2), 400);
  assert.ok(lanes.x(flight, FLIGHT_MS - 1) > -200);
  assert.equal(lanes.x(flight, FLIGHT_MS), null);
});

test('the first lanes are filled first, and a full stage takes no more', () => {
  const lanes = stage(1000, 120, 40);
  assert.deepEqual([1, 2, 3].map(() => lanes.book(200, 0, 0).lane), [0, 1, 2]);
  assert.equal(lanes.book(200, 0, 0), null);
});

test('messages of a lane never touch, whatever their lengths', () => {
  const next = random(7);
  for (let round = 0; round < 50; round += 1) {
    const lanes = stage(300 + 1500 * next(), 40, 40);
    const flights = [];
    for (let now = 0; now < 3 * FLIGHT_MS; now += 16) {
      if (next() < 0.3) flights.push(lanes.book(20 + 900 * next(), now, now + 3000 * next()));
      const flying = flights.filter((flight) => flight !== null && flight.at <= now && lanes.x(flight, now) !== null);
      for (let n = 1; n < flying.length; n += 1) {
        const [before, after] = [flying[n - 1], flying[n]];
        assert.ok(lanes.x(after, now) >= lanes.x(before, now) + before.width - 1e-6);
      }
    }
  }
});

test('a stage has as many lanes as fit, within the bound', () => {
  assert.equal(stage(1000, 39, 40).count, 0);
  assert.equal(stage(1000, 400, 40).count, 10);
  assert.equal(stage(1000, 4000, 40).count, LANES);
  assert.equal(stage(1000, 0, 40).book(10, 0, 0), null);
});

const sky = (height = 400) => {
  const flights = new Flights();
  flights.lanes.resize(1000, height, 40);
  return flights;
};
const width = ({ text }) => 20 * text.length;
const flood = (flights, ms, text) => {
  for (let now = 0, n = 0; now < ms; now += 5, n += 1) {
    flights.offer({ text: text(n), own: false }, now, width);
    flights.step(now);
    assert.ok(flights.flying.length <= ON_STAGE);
  }
};

test('what the lanes cannot take does not fly, and everything is accounted for', () => {
  const flights = sky();
  flood(flights, 10_000, () => 'message');
  assert.ok(flights.started > 50, `${flights.started}`);
  assert.equal(flights.started + flights.skipped, 2000);
});

test('in a flood long messages fly as well as short ones', () => {
  const flights = sky();
  flood(flights, 20_000, (n) => (n % 4 === 0 ? 'a message of some length' : 'short'));
  const long = flights.flying.filter(({ item }) => item.text !== 'short').length;
  assert.ok(long >= flights.flying.length / 8, `${long} of ${flights.flying.length}`);
});

test('our own message flies in a flood', () => {
  const flights = sky();
  flood(flights, 10_000, () => 'message');
  flights.offer({ text: 'mine', own: true }, 10_000, width);
  const { item, at } = flights.flying.at(-1);
  assert.equal(item.text, 'mine');
  assert.ok(at <= 10_000 + PATIENCE_MS);
});

test('a message that would have to wait for too long does not fly', () => {
  const flights = sky(40);
  flights.offer({ text: 'x', own: true }, 0, () => 100);
  flights.offer({ text: 'very long', own: true }, 0, () => 5000);
  assert.deepEqual([flights.started, flights.skipped], [1, 1]);
  const none = sky(0);
  none.offer({ text: 'no lane', own: true }, 0, width);
  assert.deepEqual([none.flying.length, none.skipped], [0, 1]);
});

test('a cleared stage is free at once', () => {
  const flights = sky(40);
  flights.offer({ text: 'one', own: false }, 0, width);
  assert.deepEqual(flights.clear().map(({ text }) => text), ['one']);
  flights.offer({ text: 'two', own: false }, 1, width);
  assert.deepEqual(flights.flying.map(({ item, at }) => [item.text, at]), [['two', 1]]);
});
