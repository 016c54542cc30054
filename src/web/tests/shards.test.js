import assert from 'node:assert/strict';
import { test } from 'node:test';

import { rates } from '../js/shards.js';

const BOUNDS = [0.0001, 0.001, 0.01];

/** A reading, with so many turns up to each bound. */
function reading(uptime_seconds, turns, buckets, rest = {}) {
  return {
    shard: 0,
    up: true,
    uptime_seconds,
    busy_seconds: 0,
    cpu_seconds: 0,
    stage_seconds: { send: 0, write: 0 },
    turns,
    turn_buckets: BOUNDS.map((le, index) => ({ le, count: buckets[index] })),
    events: 0,
    datagrams_received: 0,
    receives: 0,
    datagrams_sent: 0,
    sends: 0,
    room_deliveries: 0,
    hand_overs_in: 0,
    hand_overs_out: 0,
    ...rest,
  };
}

test('what happened between two readings, by the shard’s own clock', () => {
  const before = reading(10, 100, [100, 100, 100], { busy_seconds: 1, datagrams_sent: 5000, sends: 1000, stage_seconds: { send: 0.5, write: 0.5 } });
  const after = reading(14, 500, [300, 490, 500], { busy_seconds: 4, datagrams_sent: 11_400, sends: 1800, events: 800, stage_seconds: { send: 2.75, write: 1.25 } });
  const { busy, packetsOut, run, receive, eventsPerTurn, stages, turnP50Ms, turnP99Ms } = rates(before, after);
  assert.deepEqual([busy, packetsOut, run, receive, eventsPerTurn], [0.75, 1600, 8, null, 2]);
  assert.deepEqual(stages, { send: 0.75, write: 0.25 });
  // 200 of 400 turns took 0.1 ms or less; the 396th is the 6th of 10 in the last bucket.
  assert.equal(turnP50Ms, 0.1);
  assert.ok(Math.abs(turnP99Ms - (1 + 9 * 0.6)) < 1e-9, `${turnP99Ms}`);
});

test('turns longer than the last bound are told as that', () => {
  const { turnP50Ms } = rates(reading(0, 0, [0, 0, 0]), reading(1, 10, [0, 0, 1]));
  assert.equal(turnP50Ms, 10);
});

test('nothing is told of a shard that is idle, was not asked before, is silent or has started anew', () => {
  const idle = rates(reading(1, 5, [5, 5, 5]), reading(2, 5, [5, 5, 5]));
  assert.deepEqual([idle.busy, idle.turnP99Ms, idle.run, idle.stages.send], [0, null, null, null]);
  assert.equal(rates(undefined, reading(2, 5, [5, 5, 5])), null);
  assert.equal(rates(reading(2, 5, [5, 5, 5]), { shard: 0, up: false }), null);
  assert.equal(rates(reading(200, 5, [5, 5, 5]), reading(2, 1, [1, 1, 1])), null);
});
