import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Member } from '../js/member.js';
import { Room } from './fake_room.js';

const entered = async (room = new Room()) => {
  const scene = { room, seen: [], notices: [], presence: [], viewers: [], states: [], changes: 0 };
  scene.member = new Member('ada', {
    url: (after) => (after === null ? 'recent' : `${after.epoch}:${after.seq}`),
    explain: async () => room.explanation,
    stored: (after) => room.stored(after),
    onchange: () => (scene.changes += 1),
    onmessage: (message, own) => scene.seen.push({ ...message, own }),
    onpresence: (presence) => scene.presence.push(presence),
    onviewers: (count) => scene.viewers.push(count),
    onown: (own) => scene.states.push(`${own.content} ${own.state}`),
    onnotice: (text) => scene.notices.push(text),
  }, room.browser);
  scene.member.connect();
  await room.settle();
  scene.contents = () => scene.seen.map(({ content }) => content);
  scene.seqs = () => scene.seen.map(({ seq }) => seq);
  return scene;
};

test('a member sees what was said last and what comes, in order', async () => {
  const room = new Room();
  for (let n = 1; n <= 60; n += 1) room.say('bob', `old ${n}`);
  const { member, seqs } = await entered(room);
  assert.equal(member.view.state, 'live');
  room.say('bob', 'new');
  assert.deepEqual(seqs(), Array.from({ length: 51 }, (_, n) => n + 11));
  assert.deepEqual(member.position, { epoch: 1, seq: 61 });
  assert.equal(member.view.gaps, 0);
});

test('whatever the point at which the connection breaks, nothing is missed and nothing comes twice', async () => {
  for (let broken = 0; broken <= 20; broken += 1) {
    const room = new Room();
    const { member, seqs } = await entered(room);
    for (let n = 0; n < 20; n += 1) {
      if (n === broken) room.cut();
      room.say('bob', `${n}`);
    }
    await room.pass(1000);
    room.say('bob', 'last');
    assert.deepEqual(seqs(), Array.from({ length: 21 }, (_, n) => n + 1), `broken at ${broken}`);
    assert.equal(member.view.gaps, 0);
  }
});

test('a member of a room in which nothing was said yet misses not even the first message', async () => {
  const room = new Room({ recent: 0 });
  const { seqs } = await entered(room);
  room.cut();
  room.say('bob', 'first');
  await room.pass(1000);
  assert.deepEqual(seqs(), [1]);
});

test('our own message is shown as pending, then by the room, then kept', async () => {
  const { room, member, seen, states } = await entered();
  const own = member.send('danmu', 'hello');
  assert.equal(own.state, 'pending');
  room.serve({ acknowledge: false });
  assert.equal(seen[0].own, own);
  assert.equal(own.state, 'shown');
  room.acknowledge();
  assert.deepEqual(states, ['hello sent']);
  assert.equal(member.pending, 0);
});

test('the same text of another tab of ours is another message', async () => {
  const { room, member, seen } = await entered();
  room.say('ada', 'hi');
  const own = member.send('danmu', 'hi');
  room.serve();
  assert.deepEqual(seen.map((message) => message.own), [null, own]);
});

test('a message that left just before the connection broke arrives exactly once', async () => {
  for (const reached of [false, true]) {
    const { room, member, states, contents } = await entered();
    member.send('gift', 'Rose', { value: 1 });
    if (reached) room.serve({ acknowledge: false });
    room.cut();
    await room.pass(1000);
    room.serve();
    assert.deepEqual(contents(), ['Rose'], `reached: ${reached}`);
    assert.deepEqual(states, ['Rose sent']);
    assert.equal(room.log.length, 1);
  }
});

test('what is written while there is no connection goes out in order', async () => {
  const { room, member, contents } = await entered();
  room.cut();
  for (const text of ['one', 'two', 'three']) assert.ok(member.send('danmu', text));
  assert.ok(!member.sendLightly('like', ''));
  await room.pass(1000);
  room.serve();
  assert.deepEqual(contents(), ['one', 'two', 'three']);
});

test('own messages on their way are bounded', async () => {
  const { member } = await entered();
  let taken = 0;
  while (member.send('danmu', `${taken}`) !== null) taken += 1;
  assert.equal(taken, 16);
});

test('a refused message says why and can be sent again', async () => {
  const { room, member, states, notices } = await entered();
  const own = member.send('danmu', 'hi');
  room.refuse('rate_limited');
  assert.deepEqual(states, ['hi failed']);
  assert.match(own.why, /Too fast/);
  member.retry(own);
  room.serve();
  assert.deepEqual(states, ['hi failed', 'hi pending', 'hi sent']);
  room.send({ type: 'error', code: 'room_busy', error: 'busy' });
  assert.match(notices[0], /busy/);
});

test('an unclean restart begins to count anew, and what it lost of ours is said again', async () => {
  const { room, member, contents, notices } = await entered();
  room.say('bob', 'before');
  member.send('danmu', 'mine');
  room.serve({ acknowledge: false });
  room.crash({ lost: 1 });
  await room.pass(1000);
  room.serve();
  room.say('bob', 'after');
  assert.deepEqual(contents(), ['before', 'mine', 'mine', 'after']);
  assert.deepEqual(member.position, { epoch: 2, seq: 2 });
  assert.deepEqual([member.view.gaps, notices], [0, []]);
});

test('what was said while we were away is shown, also of an epoch that is over', async () => {
  const { room, member, contents, notices } = await entered();
  room.say('bob', 'seen');
  room.away = true;
  room.cut();
  room.say('bob', 'missed');
  room.crash();
  room.say('bob', 'missed, of the next epoch');
  room.crash();
  for (let n = 1; n <= 3; n += 1) room.say('bob', `anew ${n}`);
  room.forget(2);
  room.away = false;
  await room.pass(1000);
  room.say('bob', 'live');
  const missed = ['missed', 'missed, of the next epoch', 'anew 1', 'anew 2', 'anew 3'];
  assert.deepEqual(contents(), ['seen', ...missed, 'live']);
  assert.deepEqual([member.position, member.view.gaps, notices], [{ epoch: 3, seq: 4 }, 0, []]);
});

test('what comes while the store is asked waits its turn, our own too', async () => {
  const { room, member, contents, states } = await entered();
  room.say('bob', 'seen');
  room.cut();
  room.say('bob', 'missed');
  room.crash();
  let answer;
  room.slow = new Promise((resolve) => (answer = resolve));
  await room.pass(1000);
  member.send('danmu', 'mine');
  room.serve();
  assert.deepEqual([contents(), states], [['seen'], []]);
  answer();
  await room.settle();
  assert.deepEqual([contents(), states], [['seen', 'missed', 'mine'], ['mine sent']]);
});

test('a connection that breaks while the store is asked changes nothing', async () => {
  const { room, member, contents, notices } = await entered();
  room.say('bob', 'seen');
  room.cut();
  room.say('bob', 'missed');
  room.crash();
  let answer;
  room.slow = new Promise((resolve) => (answer = resolve));
  await room.pass(1000);
  room.say('bob', 'after');
  room.cut();
  answer();
  await room.pass(2000);
  assert.deepEqual([contents(), notices], [['seen', 'missed', 'after'], []]);
  assert.deepEqual(member.position, { epoch: 2, seq: 1 });
});

test('messages that the room no longer holds come from the store', async () => {
  const { room, member, contents, notices } = await entered();
  room.say('bob', '0');
  room.cut();
  for (let n = 1; n <= 10; n += 1) room.say('bob', `${n}`);
  room.forget(8);
  await room.pass(1000);
  assert.deepEqual(contents(), Array.from({ length: 11 }, (_, n) => `${n}`));
  assert.deepEqual([member.view.gaps, member.position.seq, member.view.received, notices], [0, 11, 11, []]);
});

test('messages that cannot be got are told, not counted as a fault', async () => {
  const ways = {
    'the store cannot be asked': (room) => (room.unread = true),
    'it keeps them no more': (room) => room.kept.splice(0, 5),
    'there are more than we ask for': (room) => {
      for (let n = 0; n < 40; n += 1) room.say('bob', `more ${n}`);
      room.forget(45);
    },
    'there are more of an epoch that is over than we ask for': (room) => {
      for (let n = 0; n < 40; n += 1) room.say('bob', `more ${n}`);
      room.crash();
    },
  };
  for (const [why, way] of Object.entries(ways)) {
    const { room, member, contents, notices } = await entered();
    room.say('bob', 'seen');
    room.cut();
    for (let n = 0; n < 10; n += 1) room.say('bob', `missed ${n}`);
    room.forget(8);
    way(room);
    await room.pass(1000);
    room.say('bob', 'last');
    assert.deepEqual(notices, ['Some messages may be missing here.'], why);
    assert.deepEqual([member.view.gaps, member.position.seq, contents().at(-1)], [0, room.log.length, 'last'], why);
  }
});

test('how many are there is known from the greeting on', async () => {
  const room = new Room();
  room.viewers = 2;
  const { viewers, presence } = await entered(room);
  room.viewers = 1;
  room.cut();
  await room.pass(1000);
  room.send({ type: 'presence', joined: ['bob'], left: [], viewer_count: 2 });
  assert.deepEqual([viewers, presence.length], [[2, 1, 2], 1]);
});

test('a connection that went silent under an unanswered message is given up', async () => {
  const { room, member } = await entered();
  room.silent = true;
  member.send('danmu', 'anyone?');
  await room.pass(9000);
  assert.equal(member.view.connections, 1);
  room.silent = false;
  await room.pass(3000);
  assert.equal(member.view.connections, 2);
  assert.equal(member.view.state, 'live');
});

test('delays grow while the server is away, and start over once it stayed', async () => {
  const { room, member } = await entered();
  room.explanation = { state: 'retry', why: 'The server cannot be reached.' };
  room.away = true;
  room.cut();
  await room.pass(60_000);
  assert.equal(member.view.state, 'reconnecting');
  assert.equal(member.view.why, 'The server cannot be reached.');
  assert.ok(member.view.connections >= 12 && member.view.connections <= 15, `${member.view.connections}`);
  room.away = false;
  await room.pass(16_000);
  assert.equal(member.view.state, 'live');
  const { connections } = member.view;
  room.cut();
  await room.pass(600);
  assert.equal(member.view.connections, connections + 1);
});

test('a room that is over, not begun or closed to us is not called again', async () => {
  for (const state of ['ended', 'idle', 'refused']) {
    const room = new Room();
    room.away = true;
    room.explanation = { state, why: 'because' };
    const { member } = await entered(room);
    await room.pass(60_000);
    assert.deepEqual([member.view.state, member.view.connections], [state, 1]);
  }
});

test('the end of the room is told apart from the end of the server', async () => {
  const over = await entered();
  over.room.send({ type: 'closing', reason: 'the room has ended' });
  over.room.cut(1000);
  await over.room.pass(0);
  assert.equal(over.member.view.state, 'ended');

  const restart = await entered();
  restart.room.send({ type: 'closing', reason: 'the server is shutting down' });
  restart.room.cut(1001);
  await restart.room.pass(0);
  assert.equal(restart.member.view.state, 'reconnecting');
  assert.match(restart.member.view.why, /shutting down/);
});

test('a connection is made anew without missing anything', async () => {
  const { room, member, seqs } = await entered();
  room.say('bob', 'before');
  member.renew();
  room.say('bob', 'between');
  await room.settle();
  room.say('bob', 'after');
  assert.deepEqual([seqs(), member.view.connections, member.view.state], [[1, 2, 3], 2, 'live']);
});

test('what could not be sent before the room was over has failed, for good', async () => {
  const { room, member, states } = await entered();
  const own = member.send('danmu', 'late');
  room.send({ type: 'closing', reason: 'the room has ended' });
  room.cut(1000);
  await room.settle();
  member.retry(own);
  assert.deepEqual([states, member.pending], [['late failed'], 0]);
});

test('leaving is final', async () => {
  const { room, member, changes } = await entered();
  member.send('danmu', 'bye');
  member.close();
  await room.pass(60_000);
  room.say('bob', 'still there?');
  assert.deepEqual([member.view.state, member.view.connections, member.view.received], ['off', 1, 0]);
  assert.ok(changes >= 0);
});

test('what is no message of the server is passed over', async () => {
  const { room, member } = await entered();
  for (const text of ['', 'null', '7', '[]', '{}', '{"type":5}', '{"type":"danmu"}', '{"type":"danmu","seq":"1"}']) {
    room.sendText(text);
  }
  assert.deepEqual([member.view.state, member.view.received], ['live', 0]);
});
