import { viewerSocketUrl } from './api.js';
import { parseMessage } from './message.js';
import { closeCodeText, closingText, errorText } from './words.js';

/** A session that has no media path by then, in ms, is given up. */
const CONNECT_MS = 10_000;

/** How long ICE may be disconnected, in ms, before the session counts as broken: it often heals by itself. */
const DISCONNECTED_MS = 3000;

/** What the browser reports for a connection that broke (RFC 6455 §7.1.5). */
const CLOSED_ABNORMALLY = 1006;

/** Messages longer than this go over the WebSocket: a long one would hold up the touches behind it. */
const CHANNEL_CHARS = 4096;

/**
 * @typedef {object} Hooks
 * @property {(sessionId: string | null) => void} onoffer the server offered a session
 * @property {(stream: MediaStream) => void} onstream there is something to play
 * @property {() => void} onconnected the media path stands
 * @property {(state: string) => void} onice the state of ICE changed
 * @property {(message: object) => void} onmessage `ack`, `error`, `stats`
 * @property {(why: string | null) => void} onend it is over, said once; null when the server was never reached
 */

/** One attempt at watching a device: a WebSocket for signalling and the peer connection it leads to. Never retries. */
export class Session {
  /** @type {RTCPeerConnection | null} */
  #peer = null;
  /** @type {RTCDataChannel | null} */
  #channel = null;
  #socket;
  #hooks;
  #stream = new MediaStream();
  #signalling = Promise.resolve();
  #opened = false;
  #ended = false;
  #lastError = null;
  #connectTimer;
  #disconnectedTimer = null;

  /** @param {string} deviceId @param {Hooks} hooks */
  constructor(deviceId, hooks) {
    this.#hooks = hooks;
    this.#socket = new WebSocket(viewerSocketUrl(deviceId));
    this.#socket.onopen = () => (this.#opened = true);
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = ({ code }) => this.#end(this.#opened ? this.#closeText(code) : null);
    this.#connectTimer = setTimeout(() => {
      const offered = this.#peer !== null;
      this.#end(offered ? 'No media path to the server: is UDP blocked on the way?' : 'The server does not answer.');
    }, CONNECT_MS);
  }

  /** Ends the session without a word to the hooks. */
  close() {
    this.#ended = true;
    clearTimeout(this.#connectTimer);
    clearTimeout(this.#disconnectedTimer);
    this.#channel?.close();
    this.#peer?.close();
    this.#socket.close(1000);
  }

  /** Sends a message: over the data channel where that is open. Says what it took, null when nothing is open. */
  send(message) {
    const text = JSON.stringify(message);
    if (this.#channel?.readyState === 'open' && text.length <= CHANNEL_CHARS) {
      this.#channel.send(text);
      return 'data channel';
    }
    return this.#sendOverSocket(text) ? 'WebSocket' : null;
  }

  /** @returns {Promise<RTCStatsReport | null>} */
  async stats() {
    return this.#peer === null || this.#ended ? null : this.#peer.getStats();
  }

  #sendOverSocket(text) {
    if (this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  #receive(data) {
    const message = parseMessage(data);
    if (message === null || this.#ended) return;
    switch (message.type) {
      case 'offer':
        this.#inOrder(() => this.#answer(message));
        break;
      case 'ice-candidate':
        this.#inOrder(() => this.#peer?.addIceCandidate(candidateOf(message)));
        break;
      case 'closing':
        this.#end(closingText(message.reason));
        break;
      default:
        if (message.type === 'error' && message.seq === undefined) this.#lastError = errorText(message);
        this.#hooks.onmessage(message);
    }
  }

  /** A server that closes properly may have said why; a connection that broke has nothing to do with what it said. */
  #closeText(code) {
    return (code === CLOSED_ABNORMALLY ? null : this.#lastError) ?? closeCodeText(code);
  }

  /** Descriptions and candidates are applied one after the other, as they came. */
  #inOrder(step) {
    this.#signalling = this.#signalling.then(step).catch((error) => {
      this.#end(`This browser did not take the server’s offer: ${error.message}`);
    });
  }

  async #answer(offer) {
    if (this.#ended) return;
    this.#peer ??= this.#makePeer(offer.iceServers);
    this.#hooks.onoffer(typeof offer.sessionId === 'string' ? offer.sessionId : null);
    await this.#peer.setRemoteDescription({ type: 'offer', sdp: offer.sdp });
    await this.#peer.setLocalDescription();
    this.#sendOverSocket(JSON.stringify({ type: 'answer', sdp: this.#peer.localDescription.sdp }));
  }

  #makePeer(iceServers) {
    const peer = new RTCPeerConnection({ iceServers: Array.isArray(iceServers) ? iceServers : [] });
    peer.onicecandidate = ({ candidate }) => {
      if (candidate === null) return;
      const { candidate: line, sdpMid, sdpMLineIndex } = candidate;
      this.#sendOverSocket(JSON.stringify({ type: 'ice-candidate', candidate: line, sdpMid, sdpMLineIndex }));
    };
    peer.ontrack = ({ track, receiver }) => {
      playAtOnce(receiver);
      this.#stream.addTrack(track);
      this.#hooks.onstream(this.#stream);
    };
    peer.ondatachannel = ({ channel }) => {
      if (channel.label !== 'control') return;
      this.#channel = channel;
      channel.onmessage = ({ data }) => this.#receive(data);
    };
    peer.oniceconnectionstatechange = () => this.#hooks.onice(peer.iceConnectionState);
    peer.onconnectionstatechange = () => this.#follow(peer.connectionState);
    return peer;
  }

  /** @param {RTCPeerConnectionState} state */
  #follow(state) {
    if (this.#ended) return;
    clearTimeout(this.#disconnectedTimer);
    if (state === 'connected') {
      clearTimeout(this.#connectTimer);
      this.#hooks.onconnected();
    } else if (state === 'disconnected') {
      this.#disconnectedTimer = setTimeout(() => this.#end('The media path broke.'), DISCONNECTED_MS);
    } else if (state === 'failed' || state === 'closed') {
      this.#end('The media path broke.');
    }
  }

  #end(why) {
    if (this.#ended) return;
    this.close();
    this.#hooks.onend(why);
  }
}

function candidateOf({ candidate, sdpMid = null, sdpMLineIndex = null }) {
  return { candidate, sdpMid, sdpMLineIndex };
}

/** Asks for the shortest jitter buffer: a person steers by this picture. */
function playAtOnce(receiver) {
  if ('jitterBufferTarget' in receiver) receiver.jitterBufferTarget = 0;
  else if ('playoutDelayHint' in receiver) receiver.playoutDelayHint = 0;
}
