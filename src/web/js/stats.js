/** Figures of a session, read from the browser's statistics (W3C webrtc-stats). */

/** Values kept for the lines of frame rate and bitrate: two minutes at one a second. */
export const HISTORY = 120;

/** Loss is counted over this many readings, so that one lost packet is seen for longer than a blink. */
const LOSS_READINGS = 5;

/**
 * @typedef {object} Figures unknown ones are null
 * @property {number | null} fps decoded frames a second
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
  #previous = null;
  #losses = [];

  /** @param {RTCStatsReport} report @returns {Figures | null} null before there is any video */
  read(report) {
    const entries = [...report.values()];
    const video = entries.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'video');
    if (video === undefined) return null;
    const audio = entries.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'audio');
    const pair = selectedPair(report, entries);
    const previous = this.#previous;
    this.#previous = video;
    const seconds = previous === null ? 0 : (video.timestamp - previous.timestamp) / 1000;
    const grown = (name) => (video[name] ?? 0) - (previous?.[name] ?? 0);
    const perSecond = (name) => (seconds > 0 ? grown(name) / seconds : null);
    const msPer = (total, events) => (grown(events) > 0 ? (grown(total) / grown(events)) * 1000 : null);
    return {
      fps: perSecond('framesDecoded'),
      bitrateBps: seconds > 0 ? perSecond('bytesReceived') * 8 : null,
      lossRatio: this.#loss(grown('packetsLost'), grown('packetsReceived')),
      rttMs: pair?.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1000,
      jitterMs: video.jitter === undefined ? null : video.jitter * 1000,
      bufferMs: msPer('jitterBufferDelay', 'jitterBufferEmittedCount'),
      decodeMs: msPer('totalDecodeTime', 'framesDecoded'),
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

  #loss(lost, received) {
    this.#losses.push({ lost, received });
    if (this.#losses.length > LOSS_READINGS) this.#losses.shift();
    const sum = (name) => this.#losses.reduce((total, reading) => total + reading[name], 0);
    const expected = sum('lost') + sum('received');
    // A packet that comes late makes the count of lost ones fall.
    return expected > 0 ? Math.max(0, sum('lost')) / expected : null;
  }
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
