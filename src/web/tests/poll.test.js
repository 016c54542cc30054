import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Poll } from '../js/poll.js';

Object.assign(globalThis, {
  document: { hidden: false, addEventListener: () => {} },
  window: { addEventListener: () => {} },
});

/** A task that runs until it is told to end. */
function rig() {
  const rig = { runs: 0, end: () => {} };
  rig.poll = new Poll(() => {
    rig.runs += 1;
    return new Promise((resolve) => (rig.end = resolve));
  }, 1_000_000);
  rig.over = async () => {
    rig.end();
    await new Promise(setImmediate);
  };
  return rig;
}

test('what is asked for during a run is done right after it, once', async () => {
  const scene = rig();
  scene.poll.start();
  scene.poll.now();
  scene.poll.now();
  assert.equal(scene.runs, 1);
  await scene.over();
  assert.equal(scene.runs, 2);
  await scene.over();
  scene.poll.stop();
  assert.equal(scene.runs, 2);
});

test('nothing runs after a stop', async () => {
  const scene = rig();
  scene.poll.start();
  scene.poll.now();
  scene.poll.stop();
  await scene.over();
  assert.equal(scene.runs, 1);
});
