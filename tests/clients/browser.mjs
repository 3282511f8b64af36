// Owns the start of a browser: Chromium without a window, which talks to this machine only.
import { chromium } from "playwright-core";

/** Chromium's arguments: nothing of its own goes over the network. */
export const flags = [
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-gpu",
  "--disable-quic",
  "--disable-sync",
  "--no-first-run",
  "--no-proxy-server",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/** A browser, and one tab of it. `options` are those of playwright's newPage. */
export async function open(options) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    // The pages are this repository's own, and root (as in containers) can have no sandbox.
    chromiumSandbox: false,
    args: flags,
  });
  return { browser, page: await browser.newPage(options) };
}
