/** Figures of a session, read from the browser's statistics (W3C webrtc-stats). */

/** Values kept for the lines of frame rate and bitrate: two minutes at one a second. */
export const HISTORY = 120;

/** Readings that rates and loss span: a frame more or less at the edge of a second is no news, a lost packet is. */
const WINDOW = 4;

/**
 * @typedef {object} Figures unknown ones are null
 * @property {number} newFrames decoded since the reading before
 * @property {number | null} fps decoded frames a second, over the last readings
 * @property {number | null} bitrateBps payload of the video
 * @property {number | null} lossRatio packets lost of those expected, over the last readings
 * @property {number | null} rttMs of the path that media takes
 * @property {number | null} jitterMs
 * @property {number | null} bufferMs how long a frame waited in the jitter buffer
 * @property {number | null} decodeMs how long a frame took to decode
 * @property {number} framesDecoded
 * @property {number} framesDropped
 * @property {number} freezes
 * @property {number} width
 * @property {number} height
 * @property {string | null} codec MIME type
 * @property {string | null} audioCodec MIME type
 * @property {string | null} path such as "udp, host → prflx"
 */

/** Turns successive reports of one session into figures. */
export class Meter {
  /** The last readings of the video's entry, oldest first. */
  #readings = [];

  /** @param {RTCStatsReport} report @returns {Figures | null} null before there is any video */
  read(report) {
    const entries = [...report.values()];
    const video = entries.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'video');
    if (video === undefined) return null;
    const audio = entries.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio');
    const pair = selectedPair(report, entries);
    this.#readings.push(video);
    if (this.#readings.length > WINDOW + 1) this.#readings.shift();
    const grown = growth(this.#readings[0], video);
    const seconds = grown('timestamp') / 1000;
    return {
      newFrames: growth(this.#readings.at(-2), video)('framesDecoded'),
      fps: ratio(grown('framesDecoded'), seconds),
      bitrateBps: ratio(grown('bytesReceived') * 8, seconds),
      // A packet that comes late makes the count of lost ones fall.
      lossRatio: ratio(Math.max(0, grown('packetsLost')), grown('packetsLost') + grown('packetsReceived')),
      rttMs: millis(pair?.currentRoundTripTime),
      jitterMs: millis(video.jitter),
      bufferMs: millis(ratio(grown('jitterBufferDelay'), grown('jitterBufferEmittedCount'))),
      decodeMs: millis(ratio(grown('totalDecodeTime'), grown('framesDecoded'))),
      framesDecoded: video.framesDecoded ?? 0,
      framesDropped: video.framesDropped ?? 0,
      freezes: video.freezeCount ?? 0,
      width: video.frameWidth ?? 0,
      height: video.frameHeight ?? 0,
      codec: report.get(video.codecId)?.mimeType ?? null,
      audioCodec: report.get(audio?.codecId)?.mimeType ?? null,
      path: pathText(report, pair),
    };
  }
}

/** How much a counter grew from one entry to a later one; there may be no earlier one. */
function growth(before, after) {
  return (name) => (before === undefined ? 0 : (after[name] ?? 0) - (before[name] ?? 0));
}

function ratio(part, whole) {
  return whole > 0 ? part / whole : null;
}

function millis(seconds) {
  return typeof seconds === 'number' ? seconds * 1000 : null;
}

function selectedPair(report, entries) {
  const transport = entries.find(({ type }) => type === 'transport');
  return (
    report.get(transport?.selectedCandidatePairId) ??
    entries.find(({ type, nominated, state }) => type === 'candidate-pair' && nominated && state === 'succeeded')
  );
}

function pathText(report, pair) {
  const local = report.get(pair?.localCandidateId);
  const remote = report.get(pair?.remoteCandidateId);
  if (local === undefined || remote === undefined) return null;
  return `${local.relayProtocol ?? local.protocol}, ${local.candidateType} → ${remote.candidateType}`;
}
