"""A web page of another origin, in a real browser, against the emulator and the gateway.

    interop/browser.py GCHAT

The browser is Chromium, which is installed by apt-get if it is missing. Where it cannot be
had, that is said; in CI (CI=true) it must be there.

The page does what a page can do without asking: it submits forms, fetches, and reads. The
spaces, the clock and the calls must be as they were, and none of what it asks for may be
readable to it. The same page from an origin that the gateway allows must be let through, so
that it is known to have tried.
"""

import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request

from servers import Program

PAGE = """<!DOCTYPE html><meta charset=utf-8><title>a page</title>
<iframe name=sink hidden></iframe>
<script>
const servers = %(servers)s;
const seen = {};
const form = (action, type) => new Promise(done => {
  const form = document.createElement('form');
  Object.assign(form, {method: 'POST', action, enctype: type, target: 'sink'});
  document.body.append(form);
  const frame = document.querySelector('iframe');
  frame.onload = () => done();
  // A browser may show nothing of what it is refused.
  setTimeout(done, 2000);
  form.submit();
});
const attempt = async (name, url, options) => {
  try {
    const answer = await fetch(url, options);
    seen[name] = answer.type === 'opaque' ? 'sent, not readable' : `read ${answer.status}`;
  } catch (error) {
    seen[name] = 'not readable';
  }
};
const space = JSON.stringify({displayName: 'made by a page', spaceType: 'SPACE'});
(async () => {
  for (const [server, {endpoint, name}] of Object.entries(servers)) {
    await form(`${endpoint}/v1/${name}?$httpMethod=DELETE`, 'application/x-www-form-urlencoded');
    await form(`${endpoint}/v1/${name}?$httpMethod=DELETE`, 'text/plain');
    await form(`${endpoint}/emulator/clock`, 'text/plain');
    const url = `${endpoint}/v1/${name}`;
    const quiet = {method: 'POST', mode: 'no-cors'};
    await attempt(`${server}: delete without a type`, `${url}?$httpMethod=DELETE`, quiet);
    await attempt(`${server}: create without a type`, `${endpoint}/v1/spaces`,
      {...quiet, body: new Blob([space])});
    await attempt(`${server}: create as text`, `${endpoint}/v1/spaces`, {...quiet, body: space});
    await attempt(`${server}: clock`, `${endpoint}/emulator/clock`, {...quiet, body: '{"advance":3600}'});
    await attempt(`${server}: create as JSON`, `${endpoint}/v1/spaces`,
      {method: 'POST', headers: {'content-type': 'application/json'}, body: space});
    await attempt(`${server}: delete`, url, {method: 'DELETE'});
    await attempt(`${server}: override`, url, {method: 'POST', headers: {'x-http-method-override': 'DELETE'}});
    await attempt(`${server}: read`, url, {});
    await attempt(`${server}: read calls`, `${endpoint}/emulator/calls`, {});
  }
  await fetch('/seen', {method: 'POST', body: JSON.stringify(seen)});
})();
</script>
"""


class Pages(http.server.ThreadingHTTPServer):
    """Serves one page to a browser, and keeps what the page says that it saw."""

    def __init__(self, page):
        self.page, self.seen, self.done = page, None, threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.server.page().encode() if self.path == "/" else b""
        self.answer(200 if body else 404, body)

    def do_POST(self):
        self.server.seen = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.answer(200, b"")
        self.server.done.set()

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def browser():
    """The path of a Chromium, if there is one or one can be installed."""
    names = ["chromium", "chromium-browser", "google-chrome"]
    if not any(map(shutil.which, names)) and shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update"], **quiet)
        subprocess.run(["apt-get", "install", "--yes", "--no-install-recommends", "chromium"], **quiet)
    return next(filter(None, map(shutil.which, names)), None)


def call(endpoint, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(endpoint + path, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def command(chromium, profile, *more):
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    return [chromium, *flags, "--disable-dev-shm-usage", f"--user-data-dir={profile}", *more]


def visit(chromium, url, done):
    """Shows a page in a browser of its own until the page is done."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        shown = command(chromium, profile, "--remote-debugging-port=0", url)
        process = subprocess.Popen(shown, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            if not done.wait(120):
                raise SystemExit(f"the page at {url} did not come to its end")
        finally:
            process.terminate()
            process.wait()


def state(emulator):
    """What a page could change: spaces and the clock, which is shown by the time of a call."""
    spaces = call(emulator, "/v1/spaces").get("spaces", [])
    ahead = call(emulator, "/emulator/clock", {"advance": 0})
    return sorted(space["displayName"] for space in spaces), ahead


def main(gchat, chromium):
    failures = []

    def expect(what, found, expected):
        print(f"{'ok' if found == expected else 'FAILS'}  {what}: {found}")
        if found != expected:
            failures.append(f"{what}: expected {expected}")

    servers = {}
    pages = Pages(lambda: PAGE % {"servers": json.dumps(servers)})
    gateway = ["gateway", "--reflection", "--listen", "127.0.0.1:0", "--backend"]
    with Program(gchat, "emulator", "--listen", "127.0.0.1:0") as emulator:
        with Program(gchat, *gateway, emulator.endpoint) as closed:
            name = call(emulator.endpoint, "/v1/spaces", {"displayName": "mine", "spaceType": "SPACE"})["name"]
            before = state(emulator.endpoint)
            servers["emulator"] = {"endpoint": emulator.endpoint, "name": name}
            servers["gateway"] = {"endpoint": closed.endpoint, "name": name}
            visit(chromium, pages.origin, pages.done)
            expect("spaces and clock after the page", state(emulator.endpoint), before)
            for attempt, outcome in pages.seen.items():
                readable = outcome.startswith("read ")
                expect(f"the page: {attempt}", readable, False)

        # A host name that resolves to 127.0.0.1 makes the emulator's own port the origin.
        port = emulator.endpoint.rsplit(":", 1)[1]
        rebound = f"http://evil.example:{port}/emulator/calls"
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            shown = command(chromium, profile, "--host-resolver-rules=MAP evil.example 127.0.0.1", "--dump-dom", rebound)
            dump = subprocess.run(shown, capture_output=True, text=True, timeout=120)
        refused = "the host `evil.example` is not served here" in dump.stdout
        expect("a rebound host name is refused", refused, True)
        expect("a rebound host name reads calls", "/v1/spaces" in dump.stdout, False)

        # The page does what it is to do: where it is allowed, the space goes.
        with Program(gchat, *gateway, emulator.endpoint, "--cors-origin", pages.origin) as open_:
            servers.clear()
            servers["open"] = {"endpoint": open_.endpoint, "name": name}
            pages.done.clear()
            visit(chromium, pages.origin, pages.done)
            names, _ = state(emulator.endpoint)
            expect("spaces after an allowed page", names, ["made by a page"])
            expect("an allowed page creates", pages.seen["open: create as JSON"], "read 200")
            expect("an allowed page deletes", pages.seen["open: delete"], "read 200")
    if failures:
        raise SystemExit("\n".join(failures))
    print("a page of another origin changed and read nothing")


if __name__ == "__main__":
    found = browser()
    if found:
        main(pathlib.Path(sys.argv[1]).resolve(), found)
    elif os.environ.get("CI") == "true":
        raise SystemExit("CI must have Chromium")
    else:
        print("skipped, for want of Chromium: a web page against the emulator and the gateway")
