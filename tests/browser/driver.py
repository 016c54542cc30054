"""Chromium, driven over lines of JSON: a command on standard input, its answer on standard output.

The scenario and what is asserted are in tests/browser.rs; here is only what needs a browser's own protocol.
Arguments are further flags of Chromium's. Playwright is used without its download of browsers: the executable is the system's Chromium, named by $CHROMIUM.
"""

import json
import os
import sys
import tempfile

from playwright.sync_api import sync_playwright

FLAGS = [
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",  # as root, in a container
]

# Remembers every peer connection that the page makes, so that its statistics can be read at any moment.
REMEMBER_PEERS = """
window.__peers = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...args) { super(...args); window.__peers.push(this); }
};
"""

# Has the page's connections go to another port of the host that the server's candidates name: to a relay.
THROUGH = """
window.RTCPeerConnection = class extends RTCPeerConnection {
  setRemoteDescription({ type, sdp }) {
    return super.setRemoteDescription({ type, sdp: sdp.replace(/^(a=candidate:.* )\\d+(?= typ host)/gm, (_, before) => before + PORT) });
  }
};
"""

# The newest connection's inbound streams, by kind.
INBOUND = """
async () => {
  const peer = window.__peers.at(-1);
  const streams = {};
  if (peer) for (const entry of (await peer.getStats()).values())
    if (entry.type === 'inbound-rtp') streams[entry.kind] = entry;
  return streams;
}
"""

# What the page shows of its player: the data attributes of #player.
PLAYER = "() => ({ ...document.querySelector('#player')?.dataset })"


class Driver:
    def __init__(self, browser):
        self.browser = browser
        self.pages = {}
        self.complaints = []

    def open(self, page, url, width=1280, height=800, dark=False, through=None):
        """Opens a URL in a page of its own, made at its first use; its media goes `through` a port."""
        if page not in self.pages:
            context = self.browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if dark else "light",
            )
            context.add_init_script(REMEMBER_PEERS)
            if through is not None:
                context.add_init_script(THROUGH.replace("PORT", str(through)))
            self.pages[page] = context.new_page()
            self.pages[page].on("pageerror", lambda error: self.complaints.append(str(error)))
            self.pages[page].on("console", self._console)
        self.pages[page].goto(url)

    def reload(self, page):
        self.pages[page].reload()

    def close(self, page):
        self.pages.pop(page).context.close()

    def player(self, page):
        return self.pages[page].evaluate(PLAYER)

    def inbound(self, page):
        return self.pages[page].evaluate(INBOUND)

    def evaluate(self, page, script):
        return self.pages[page].evaluate(script)

    def texts(self, page, selector):
        return self.pages[page].locator(selector).all_inner_texts()

    def click(self, page, selector, x=None, y=None):
        """Clicks the middle of an element, or the point at these parts of its width and height."""
        element = self.pages[page].locator(selector).first
        if x is None:
            element.click()
            return
        box = element.bounding_box()
        element.click(position={"x": box["width"] * x, "y": box["height"] * y})

    def press(self, page, key):
        self.pages[page].keyboard.press(key)

    def fill(self, page, selector, text):
        self.pages[page].locator(selector).first.fill(text)

    def screenshot(self, page, path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.pages[page].screenshot(path=path)

    def errors(self):
        """Uncaught errors and error messages of all pages so far."""
        return self.complaints

    def _console(self, message):
        if message.type == "error":
            self.complaints.append(message.text)


def main():
    executable = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        browser = playwright.chromium.launch(
            executable_path=executable, headless=True, args=FLAGS + sys.argv[1:], env={**os.environ, "HOME": profile}
        )
        driver = Driver(browser)
        print(json.dumps({"ok": browser.version}), flush=True)
        for line in sys.stdin:
            command = json.loads(line)
            try:
                answer = {"ok": getattr(driver, command.pop("do"))(**command)}
            except Exception as error:  # told to the test, which decides
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)
        browser.close()


main()
