import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Flights, ON_STAGE, PATIENCE_MS, WAITING } from '../js/flights.js';
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
  const flight = lanes.place(200, 0);
  assert.equal(lanes.x(flight, 0), 1000);
  assert.equal(lanes.x(flight, FLIGHT_MS / 2), 400);
  assert.ok(lanes.x(flight, FLIGHT_MS - 1) > -200);
  assert.equal(lanes.x(flight, FLIGHT_MS), null);
});

test('the first lanes are filled first, and a full stage takes no more', () => {
  const lanes = stage(1000, 120, 40);
  assert.deepEqual([1, 2, 3].map(() => lanes.place(200, 0).lane), [0, 1, 2]);
  assert.equal(lanes.place(200, 0), null);
});

test('messages of a lane never touch, whatever their lengths', () => {
  const next = random(7);
  for (let round = 0; round < 50; round += 1) {
    const lanes = stage(300 + 1500 * next(), 40, 40);
    const flights = [];
    for (let now = 0; now < 3 * FLIGHT_MS; now += 16) {
      if (next() < 0.3) flights.push(lanes.place(20 + 900 * next(), now));
      const flying = flights.filter((flight) => flight !== null && lanes.x(flight, now) !== null);
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
  assert.equal(stage(1000, 0, 40).place(10, 0), null);
});

const flights = (height = 400) => {
  const flights = new Flights();
  flights.lanes.resize(1000, height, 40);
  return flights;
};
const width = () => 150;

test('what the lanes cannot take does not fly, and everything is accounted for', () => {
  const sky = flights();
  let offered = 0;
  for (let now = 0; now < 10_000; now += 16) {
    for (let n = 0; n < 4; n += 1) sky.offer({ text: 'x', own: false }, now);
    offered += 4;
    sky.step(now, width);
    assert.ok(sky.flying.length <= ON_STAGE);
  }
  sky.step(10_000 + PATIENCE_MS, width);
  assert.ok(sky.started > 50, `${sky.started}`);
  const waits = offered - sky.started - sky.skipped;
  assert.ok(waits >= 0 && waits <= WAITING, `${waits}`);
});

test('our own message flies at the first free lane, past all that waits', () => {
  const sky = flights(40);
  for (let n = 0; n < WAITING; n += 1) sky.offer({ text: `${n}`, own: false }, 0);
  sky.step(0, width);
  sky.offer({ text: 'mine', own: true }, 0);
  for (let now = 0; sky.started < 2; now += 16) sky.step(now, width);
  assert.equal(sky.flying.at(-1).item.text, 'mine');
});

test('a message that waited too long does not fly any more', () => {
  const sky = flights(0);
  sky.offer({ text: 'late', own: false }, 0);
  sky.step(PATIENCE_MS + 1, width);
  assert.deepEqual([sky.busy, sky.started, sky.skipped], [false, 0, 1]);
});

test('a cleared stage is free at once', () => {
  const sky = flights(40);
  sky.offer({ text: 'one', own: false }, 0);
  sky.step(0, width);
  assert.deepEqual(sky.clear().map(({ text }) => text), ['one']);
  sky.offer({ text: 'two', own: false }, 1);
  sky.step(1, width);
  assert.deepEqual(sky.flying.map(({ item }) => item.text), ['two']);
});
