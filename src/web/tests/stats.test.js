import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Meter } from '../js/stats.js';

/** A report as a browser gives it `seconds` into a session of 30 fps and 2 Mbit/s. */
function report(seconds, changes = {}) {
  const video = {
    id: 'v',
    type: 'inbound-rtp',
    kind: 'video',
    timestamp: 1e12 + seconds * 1000,
    framesDecoded: 30 * seconds,
    bytesReceived: 250_000 * seconds,
    packetsReceived: 200 * seconds,
    packetsLost: 0,
    jitter: 0.0021,
    frameWidth: 1280,
    frameHeight: 720,
    codecId: 'c',
    ...changes,
  };
  const entries = [
    video,
    { id: 'c', type: 'codec', mimeType: 'video/H264' },
    { id: 't', type: 'transport', selectedCandidatePairId: 'p' },
    { id: 'p', type: 'candidate-pair', currentRoundTripTime: 0.0125, localCandidateId: 'l', remoteCandidateId: 'r' },
    { id: 'l', type: 'local-candidate', candidateType: 'host', protocol: 'udp' },
    { id: 'r', type: 'remote-candidate', candidateType: 'host', protocol: 'udp' },
  ];
  return new Map(entries.map((entry) => [entry.id, entry]));
}

test('rates come from growth, so the first reading has none', () => {
  const meter = new Meter();
  const first = meter.read(report(1));
  assert.deepEqual([first.fps, first.bitrateBps, first.lossRatio], [null, null, null]);
  const second = meter.read(report(2));
  assert.deepEqual([second.fps, second.bitrateBps, second.lossRatio], [30, 2_000_000, 0]);
  assert.deepEqual([second.rttMs, second.width, second.height], [12.5, 1280, 720]);
  assert.deepEqual([second.codec, second.path], ['video/H264', 'udp, host → host']);
});

test('without video there are no figures', () => {
  assert.equal(new Meter().read(new Map()), null);
});

test('a lost packet is seen for some readings and then forgotten', () => {
  const meter = new Meter();
  for (let second = 1; second <= 3; second += 1) meter.read(report(second));
  const seen = [];
  for (let second = 4; second <= 10; second += 1) {
    seen.push(meter.read(report(second, { packetsLost: 8 })).lossRatio > 0);
  }
  assert.deepEqual(seen, [true, true, true, true, false, false, false]);
});

test('packets that come late are no negative loss', () => {
  const meter = new Meter();
  meter.read(report(1, { packetsLost: 5 }));
  assert.equal(meter.read(report(2, { packetsLost: 2 })).lossRatio, 0);
});

test('a picture that stands still is told from the last reading alone', () => {
  const meter = new Meter();
  meter.read(report(1));
  assert.equal(meter.read(report(2)).newFrames, 30);
  const still = meter.read(report(3, { framesDecoded: 60 }));
  assert.equal(still.newFrames, 0);
  assert.ok(still.fps > 0);
});
