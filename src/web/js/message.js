/** @returns {{type: string} | null} an object with a type; whatever else comes from the server is not for us */
export function parseMessage(text) {
  try {
    const message = JSON.parse(text);
    return typeof message?.type === 'string' ? message : null;
  } catch {
    return null;
  }
}
