/** Figures as a person reads them. What is not known is a dash, so that no column jumps. */

const NONE = '–';

const known = (value) => typeof value === 'number' && Number.isFinite(value);

/** 2_150_000 → "2.15 Mbit/s". */
export function bitrate(bps) {
  if (!known(bps)) return NONE;
  if (bps >= 999_500) return `${(bps / 1e6).toFixed(bps < 9_995_000 ? 2 : 1)} Mbit/s`;
  if (bps >= 999.5) return `${Math.round(bps / 1e3)} kbit/s`;
  return `${Math.round(bps)} bit/s`;
}

/** 29.97 → "30.0"; whole numbers in lists. */
export function fps(value, digits = 1) {
  return known(value) ? value.toFixed(digits) : NONE;
}

/** Milliseconds: "0.42 ms", "7.3 ms", "182 ms". */
export function millis(value) {
  if (!known(value)) return NONE;
  if (value === 0) return '0 ms';
  const digits = value < 0.995 ? 2 : value < 9.95 ? 1 : 0;
  return `${value.toFixed(digits)} ms`;
}

/** A ratio in 0..1: "0 %", "0.03 %", "4.2 %". */
export function percent(ratio) {
  if (!known(ratio)) return NONE;
  const value = ratio * 100;
  if (value === 0) return '0 %';
  return `${value.toFixed(value < 1 ? 2 : 1)} %`;
}

/** A count with thin spaces between the thousands. */
export function count(value) {
  return known(value) ? String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, '\u2009') : NONE;
}

/** Width and height: "1280×720". */
export function size(width, height) {
  return width > 0 && height > 0 ? `${width}×${height}` : NONE;
}

/** A span of time, to the unit that matters: "4 s", "12 min", "3 h 05", "2 d". */
export function span(ms) {
  if (!known(ms)) return NONE;
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, '0')}`;
  return `${Math.floor(hours / 24)} d`;
}

/** A codec's usual spelling, whatever the case or the MIME type it came in. */
export function codec(name) {
  if (typeof name !== 'string' || name === '') return NONE;
  const short = name.replace(/^(video|audio)\//i, '');
  const spelled = { h264: 'H.264', vp8: 'VP8', opus: 'Opus' };
  return spelled[short.toLowerCase()] ?? short;
}

/** A count that has little room: "980", "1.2k", "34k", "1.5M". */
export function short(value) {
  if (!known(value)) return NONE;
  if (value < 999.5) return String(Math.round(value));
  const [scaled, unit] = value < 999_500 ? [value / 1e3, 'k'] : [value / 1e6, 'M'];
  return `${scaled < 9.95 ? scaled.toFixed(1) : Math.round(scaled)}${unit}`;
}

/** A room's heat: with a tenth while it is small, so that one message can be seen. */
export function heat(value) {
  return known(value) && value < 99.95 ? value.toFixed(1) : short(value);
}

/** A time of day on this computer's clock, "18:05", from Unix milliseconds. */
export function clock(ms) {
  if (!known(ms)) return NONE;
  const time = new Date(ms);
  return [time.getHours(), time.getMinutes()].map((part) => String(part).padStart(2, '0')).join(':');
}
