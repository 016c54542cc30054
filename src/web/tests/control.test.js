import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Control } from '../js/control.js';

function rig() {
  const sent = [];
  const rig = { sent, time: 0, via: 'data channel' };
  rig.control = new Control(
    (message) => {
      if (rig.via !== null) sent.push(message);
      return rig.via;
    },
    () => rig.time,
  );
  return rig;
}

test('messages carry their fields and count up', () => {
  const { control, sent } = rig();
  control.send('touch', { phase: 'down', x: 0.5, y: 0.25, pointer: 0 });
  control.send('back');
  assert.deepEqual(sent, [
    { type: 'control', seq: 1, action: 'touch', phase: 'down', x: 0.5, y: 0.25, pointer: 0 },
    { type: 'control', seq: 2, action: 'back' },
  ]);
});

test('round trips are taken from each message to its own acknowledgement', () => {
  const scene = rig();
  for (const took of [4, 30, 8]) {
    scene.control.send('home');
    scene.time += took;
    assert.ok(scene.control.receive({ type: 'ack', seq: scene.sent.at(-1).seq }));
  }
  const { lastMs, medianMs, acks, agent, via } = scene.control.figures;
  assert.deepEqual([lastMs, medianMs, acks, agent, via], [8, 8, 3, true, 'data channel']);
});

test('an acknowledgement counts once and only for what was sent', () => {
  const { control } = rig();
  control.send('home');
  assert.ok(control.receive({ type: 'ack', seq: 1 }));
  assert.ok(!control.receive({ type: 'ack', seq: 1 }));
  assert.ok(!control.receive({ type: 'ack', seq: 99 }));
  assert.ok(!control.receive({ type: 'ack' }));
  assert.equal(control.figures.acks, 1);
});

test('without an agent only what may find one is sent', () => {
  const { control, sent } = rig();
  control.send('touch', { phase: 'down' });
  assert.ok(control.receive({ type: 'error', code: 'no_agent', seq: 1 }));
  assert.equal(control.figures.agent, false);
  assert.ok(!control.send('touch', { phase: 'move' }));
  assert.ok(!control.send('scroll', { dy: 1 }));
  assert.ok(control.send('touch', { phase: 'up' }));
  assert.ok(control.receive({ type: 'ack', seq: sent.at(-1).seq }));
  assert.ok(control.send('touch', { phase: 'move' }));
});

test('what cannot leave takes no number', () => {
  const scene = rig();
  scene.via = null;
  assert.ok(!scene.control.send('home'));
  scene.via = 'WebSocket';
  assert.ok(scene.control.send('home'));
  assert.equal(scene.sent[0].seq, 1);
});

test('an agent that never answers costs a bounded memory', () => {
  const { control } = rig();
  for (let n = 0; n < 1000; n += 1) control.send('home');
  assert.ok(!control.receive({ type: 'ack', seq: 1 }));
  assert.ok(control.receive({ type: 'ack', seq: 1000 }));
});
