#!/usr/bin/env python3
"""Tests the documentation pages in a browser.

usage: pages.py PROGRAM [--component FILE] [--screenshots FOLDER]
       (`run` beside it installs what it needs and calls it)

Runs PROGRAM on an empty database and opens /docs and /redoc in headless Chromium. The pages show the
operations, "Try it out" creates a user and gets 409 the second time, and ReDoc's search finds an
operation. The console has no error, nothing violates the pages' content security policy, and every
request goes to this service.

Needs playwright from PyPI and Debian's chromium (or CHROMIUM=/path/to/it); downloads no browser.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import threading
from urllib.parse import urlsplit

from playwright.sync_api import expect, sync_playwright

WAIT_LIMIT = 20_000  # ms, for what is awaited
expect.set_options(timeout=WAIT_LIMIT)


def serve(program, component):
    command = [program, "--listen", "127.0.0.1:0", "--database", "memory:"]
    if component:
        command += ["--component", component]
    text = os.environ | {"USHER_LOG_FORMAT": "text", "USHER_DRAIN_DELAY": "0s"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=text)
    for line in process.stderr:
        sys.stderr.write(line)
        found = re.search(r"listening on (http://\S+)", line)
        if found:
            # Nobody reading what it goes on to say would stop it one day.
            threading.Thread(target=shutil.copyfileobj, args=(process.stderr, sys.stderr), daemon=True).start()
            return process, found[1]
    raise SystemExit(f"{program} ended with {process.wait()} and without saying where it listens")


class Watched:
    """A page, and everything it did that it should not have."""

    def __init__(self, browser, base, path, refusals=()):
        """Opens the page. `refusals` are the expected statuses from 400 up, in order."""
        self.base, self.faults, self.requests = base, [], []
        self.refusals, self.expected = [], list(refusals)
        self.page = browser.new_page(viewport={"width": 1280, "height": 1400})
        self.page.set_default_timeout(WAIT_LIMIT)
        self.page.on("console", self.heard)
        self.page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        self.page.on("requestfailed", lambda request: self.faults.append(f"failed: {request.url}"))
        self.page.on("request", self.asked)
        self.page.on("response", self.answered)
        answer = self.page.goto(base + path)
        assert answer.status == 200, f"{path}: {answer.status}"

    def heard(self, message):
        # The browser reports each response from 400 up as an error; `refusals` covers those.
        is_refusal = message.text.startswith("Failed to load resource: the server responded with a status of")
        if message.type in ("error", "warning") and not is_refusal:
            self.faults.append(f"console: {message.text}")

    def answered(self, response):
        if response.status >= 400:
            self.refusals.append(response.status)

    def asked(self, request):
        url = urlsplit(request.url)
        self.requests.append(url.path)
        here = f"{url.scheme}://{url.netloc}" == self.base
        if not here and not request.url.startswith((f"blob:{self.base}/", "data:")):
            self.faults.append(f"asked elsewhere: {request.url}")

    def done(self, screenshot):
        if screenshot:
            self.page.screenshot(path=screenshot, full_page=True)
        self.page.close()
        assert not self.faults, "\n".join(self.faults)
        assert self.refusals == self.expected, f"refused: {self.refusals}, expected: {self.expected}"


def swagger_ui(browser, base, screenshot):
    watched = Watched(browser, base, "/docs", refusals=[409])
    page = watched.page
    # Its style has arrived and is in force.
    expect(page.locator(".opblock-post .opblock-summary-method").first).to_have_css("background-color", "rgb(73, 204, 144)")
    create = page.locator("#operations-users-createUser")
    create.locator(".opblock-summary-control").click()
    create.get_by_role("button", name="Try it out").click()
    create.locator("textarea").fill('{"name": "Ann", "email": "ann@EXAMPLE.com"}')
    for status, body in (("200", '"email": "ann@example.com"'), ("409", "Email already registered")):
        create.get_by_role("button", name="Execute").click()
        answer = create.locator(".live-responses-table .response")
        expect(answer.locator(".response-col_status")).to_contain_text(status)
        expect(answer.locator(".response-col_description")).to_contain_text(body)
    read = page.locator("#operations-users-getUser")
    read.locator(".opblock-summary-control").click()
    read.get_by_role("button", name="Try it out").click()
    read.locator("tr[data-param-name=user_id] input").fill("1")
    read.get_by_role("button", name="Execute").click()
    answer = read.locator(".live-responses-table .response")
    expect(answer.locator(".response-col_status")).to_contain_text("200")
    expect(answer.locator(".response-col_description")).to_contain_text("etag")
    assert watched.requests.count("/users/") == 2 and "/users/1" in watched.requests, watched.requests
    watched.done(screenshot)


def redoc(browser, base, screenshot):
    watched = Watched(browser, base, "/redoc")
    page = watched.page
    expect(page.get_by_role("heading", name="Create a user")).to_be_visible()
    expect(page.locator("body")).to_have_css("margin-top", "0px")
    # Its rules are in force: the menu stands beside the text.
    expect(page.locator(".menu-content")).to_have_css("position", "sticky")
    page.get_by_placeholder("Search...").fill("delete")
    expect(page.locator("[data-role='search:results']").get_by_text("Delete a user", exact=True)).to_be_visible()
    watched.done(screenshot)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--component")
    parser.add_argument("--screenshots")
    options = parser.parse_args()

    def screenshot(name):
        return options.screenshots and os.path.join(options.screenshots, name)

    process, base = serve(options.program, options.component)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
                # Chromium's own sandbox cannot be had by root, which is what containers run as.
                # Containers give it little shared memory.
                args=["--disable-dev-shm-usage"] + (["--no-sandbox"] if os.geteuid() == 0 else []),
            )
            swagger_ui(browser, base, screenshot("docs.png"))
            redoc(browser, base, screenshot("redoc.png"))
            browser.close()
    finally:
        process.terminate()
        process.wait()
    print("/docs and /redoc: all well")


if __name__ == "__main__":
    main()
