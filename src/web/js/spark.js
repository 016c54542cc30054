/** A line of recent values, drawn into a canvas in the text's own colour. */

/** Width of the line in CSS pixels. */
const LINE = 1.25;

/**
 * Draws `values`, the newest at the right edge; `slots` values fill the width. The scale begins at 0, so that the
 * height of the line means something, and ends a little above the largest value.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number[]} values
 * @param {number} slots
 */
export function drawSpark(canvas, values, slots) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (width === 0 || height === 0) return;
  const ratio = window.devicePixelRatio || 1;
  const [pixelWidth, pixelHeight] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== pixelWidth) canvas.width = pixelWidth;
  if (canvas.height !== pixelHeight) canvas.height = pixelHeight;

  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  if (values.length < 2) return;

  const top = Math.max(...values) * 1.15 || 1;
  const step = width / (slots - 1);
  const start = width - (values.length - 1) * step;
  const y = (value) => height - LINE - (value / top) * (height - 2 * LINE);

  context.beginPath();
  values.forEach((value, index) => context.lineTo(start + index * step, y(value)));
  context.strokeStyle = getComputedStyle(canvas).color;
  context.lineWidth = LINE;
  context.lineJoin = 'round';
  context.stroke();

  context.lineTo(width, height);
  context.lineTo(start, height);
  context.closePath();
  context.globalAlpha = 0.12;
  context.fillStyle = context.strokeStyle;
  context.fill();
  context.globalAlpha = 1;
}
