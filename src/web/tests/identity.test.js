import assert from 'node:assert/strict';
import { test } from 'node:test';

import { isId, roomId } from '../js/ids.js';
import { Identity } from '../js/identity.js';

const HOUR = 3600;

class Keep {
  kept = new Map();
  getItem(key) {
    return this.kept.get(key) ?? null;
  }
  setItem(key, value) {
    this.kept.set(key, value);
  }
  removeItem(key) {
    this.kept.delete(key);
  }
}

const token = (claims) => ['{}', JSON.stringify(claims), 'x'].map((part) => Buffer.from(part).toString('base64url')).join('.');

function rig() {
  const rig = { names: new Keep(), tokens: new Keep(), now: 1_000_000, events: [] };
  rig.make = () => {
    const identity = new Identity(rig.names, rig.tokens, () => rig.now * 1000);
    for (const type of ['change', 'wanted']) identity.addEventListener(type, () => rig.events.push(type));
    return identity;
  };
  return rig;
}

test('a name is made up once and kept', () => {
  const scene = rig();
  const first = scene.make();
  assert.match(first.userId, /^web-[0-9a-f]{4}$/);
  assert.equal(scene.make().userId, first.userId);
  assert.ok(first.rename('ada'));
  assert.ok(!first.rename('not a name'));
  assert.equal(scene.make().userId, 'ada');
  assert.deepEqual(scene.events, ['change']);
});

test('signed in, the token names the user until it expires', () => {
  const scene = rig();
  const identity = scene.make();
  identity.rename('ada');
  assert.ok(identity.signIn(token({ sub: 'bøb'.replace('ø', 'o'), role: 'anchor', exp: scene.now + HOUR })));
  assert.deepEqual([identity.userId, identity.role, identity.mayHaveRooms, identity.comesForRooms], ['bob', 'anchor', true, true]);
  assert.ok(!identity.rename('eve'));
  assert.equal(scene.make().userId, 'bob', 'a reload stays signed in');
  scene.now += HOUR;
  assert.deepEqual([identity.token, identity.userId], [null, 'ada']);
  assert.equal(scene.make().token, null);
  assert.equal(scene.tokens.kept.size, 0);
});

test('what is no token of a user is not taken', () => {
  const scene = rig();
  const identity = scene.make();
  const wrong = ['', 'x', 'a.b.c', token({}), token({ sub: 'no blanks' }), token(null), token({ sub: 'ada', exp: 1 })];
  for (const text of wrong) assert.ok(!identity.signIn(text), text);
  assert.deepEqual(scene.events, []);
});

test('the server asks for a token once, and once more when it refuses ours', () => {
  const scene = rig();
  const identity = scene.make();
  assert.ok(identity.mayHaveRooms);
  identity.refused();
  identity.refused();
  assert.deepEqual(scene.events, ['wanted']);
  assert.ok(!identity.mayHaveRooms);
  identity.signIn(token({ sub: 'ada', exp: scene.now + HOUR }));
  assert.deepEqual([identity.role, identity.mayHaveRooms], ['viewer', false]);
  identity.refused();
  assert.deepEqual(scene.events, ['wanted', 'change', 'wanted']);
  assert.equal(identity.token, null);
});

test('who signed in is asked again when the token has expired, and who signed out is not', () => {
  const scene = rig();
  const identity = scene.make();
  identity.signIn(token({ sub: 'ada', exp: scene.now + HOUR }));
  scene.now += HOUR;
  assert.equal(identity.token, null);
  identity.refused();
  identity.signIn(token({ sub: 'ada', exp: scene.now + HOUR }));
  identity.signOut();
  identity.refused();
  assert.deepEqual(scene.events, ['change', 'wanted', 'change', 'change']);
});

test('a browser that forbids to keep anything has a name all the same', () => {
  const broken = { getItem: () => assert.fail('forbidden'), setItem: () => assert.fail('forbidden') };
  for (const keep of [null, broken]) assert.ok(isId(new Identity(keep, keep).userId));
});

test('rooms are named by positive integers that a double holds', () => {
  assert.equal(roomId('9007199254740991'), 2 ** 53 - 1);
  for (const text of ['', '0', '-1', '1.5', '01', '9007199254740992', '99999999999999999', 'x']) {
    assert.equal(roomId(text), null, text);
  }
});
