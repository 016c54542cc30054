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
