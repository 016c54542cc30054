/** Small helpers around the DOM. What comes from outside goes in as text only. */

/**
 * Makes an element: `make('span', {class: 'dot'}, 'text', child)`.
 *
 * @param {string} tag
 * @param {Record<string, string>} attributes
 * @param {...(Node | string)} children
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** The elements with a `data-ref` below `root`, by that name. */
export function refs(root) {
  const found = {};
  for (const element of root.querySelectorAll('[data-ref]')) found[element.dataset.ref] = element;
  return found;
}

/** Sets the text where it differs: no layout, and no announcement by a screen reader, for nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets or, for null and undefined, removes a `data-` attribute; `name` in camel case. */
export function setData(element, name, value) {
  if (value === null || value === undefined) delete element.dataset[name];
  else if (element.dataset[name] !== String(value)) element.dataset[name] = String(value);
}

/** Copies text; also where the clipboard's own interface is missing because the page came over plain HTTP. */
export async function copyText(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = make('textarea', { readonly: '', class: 'offscreen' });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  if (!copied) throw new Error('the browser does not allow copying');
}

/** How long a button says that it has done its work, in ms. */
const ACKNOWLEDGED_MS = 1500;

/** Lets a button say for a moment what came of it. */
export function acknowledge(button, text) {
  const label = button.querySelector('[data-label]') ?? button;
  label.dataset.label ||= label.textContent;
  setText(label, text);
  clearTimeout(Number(button.dataset.timer));
  button.dataset.timer = String(setTimeout(() => setText(label, label.dataset.label), ACKNOWLEDGED_MS));
}

/** Pages begin muted, since browsers play nothing else by themselves. */
export function wireSound(button, label, video) {
  button.addEventListener('click', () => {
    video.muted = !video.muted;
    button.setAttribute('aria-pressed', String(!video.muted));
    setText(label, video.muted ? 'Sound is off' : 'Sound is on');
  });
}

export function wireFullscreen(button, stage) {
  button.hidden = !document.fullscreenEnabled;
  button.addEventListener('click', () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else stage.requestFullscreen();
  });
}

/** A symbol of the page, by its id. */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#${name}`);
  svg.append(use);
  return svg;
}

/** A hue in degrees, always the same for the same text. */
export function hue(text) {
  let hash = 0x811c9dc5;
  for (let n = 0; n < text.length; n += 1) hash = Math.imul(hash ^ text.charCodeAt(n), 0x01000193);
  // FNV leaves neighbours close; this spreads them (the finalizer of MurmurHash3).
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % 360;
}
