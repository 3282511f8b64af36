// Owns the reader of the dashboard: opens it in a browser and prints what it shows, one JSON a line, whenever that
// changes. When its standard input closes it says what the page has done and looks like, and ends.
//   TOKEN=… node dashboard.mjs URL     signs in with the token
//   node dashboard.mjs URL PICTURE.png SECONDS SCHEME [WIDTH]     takes its picture instead
import { open } from "./browser.mjs";

const [url, picture, seconds, scheme, width] = process.argv.slice(2);
const PHONE = { width: 360, height: 740 };
const WIDTHS = [320, 400, 600, 768, 1000, 1100, 1200, 1400, 1920];

/** Runs in the page. */
function countRows() {
  const rows = new Map();
  for (const card of document.getElementById("cards").children) {
    const top = Math.round(card.getBoundingClientRect().top);
    rows.set(top, (rows.get(top) ?? 0) + 1);
  }
  return [...rows.values()];
}

/** Runs in the page. */
function observe(tell) {
  const text = (id) => document.getElementById(id).textContent;
  const cells = (row) => [...row.children].map((cell) => cell.textContent);
  let told;
  const look = () => {
    const seen = {
      link: text("link"), level: document.getElementById("health").dataset.level, headline: text("headline"),
      advice: text("advice"), timing: text("timing"), gate: text("gate"), tokens: text("tokens"), rate: text("rate"),
      asked: text("asked"), handed_out: text("handed-out"), paid: text("paid"), saved: text("saved"),
      answered: text("answered"), kinds: ["hit", "collapsed", "fetched", "stand_in"].map(text), streams: text("streams"),
      tasks: [...document.getElementById("tasks").children].map(cells),
      failures: [...document.getElementById("failures").children].map(cells),
      door: !document.getElementById("door").hidden, entry: !document.getElementById("entry").hidden,
      refusal: text("refusal"), leave: !document.getElementById("leave").hidden,
    };
    const json = JSON.stringify(seen);
    if (json !== told) tell(json);
    told = json;
  };
  document.addEventListener("securitypolicyviolation", (event) => tell(JSON.stringify({ broken: event.violatedDirective })));
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
  look();
}

const { browser, page } = await open({
  viewport: picture ? { width: Number(width ?? 1280), height: 800 } : { width: 1100, height: 760 },
  colorScheme: scheme ?? "light",
  deviceScaleFactor: picture && !width ? 1.5 : 1,
});
const hosts = new Set();
const urls = new Set();
try {
  page.on("request", (request) => {
    if (!request.url().startsWith("data:")) hosts.add(new URL(request.url()).host);
    urls.add(request.url());
  });
  page.on("pageerror", (error) => console.log(JSON.stringify({ broken: String(error) })));
  page.on("console", (message) => {
    // A request that is turned away is told of there too.
    if (/Content Security Policy/.test(message.text())) console.log(JSON.stringify({ broken: message.text() }));
  });
  page.on("dialog", (dialog) => {
    console.log(JSON.stringify({ broken: "a dialog" }));
    dialog.dismiss();
  });
  await page.exposeFunction("tell", (json) => console.log(json));
  await page.addInitScript(`addEventListener("DOMContentLoaded", () => (${observe})(tell))`);
  await page.goto(url);
  if (picture) {
    await page.waitForTimeout(seconds * 1000);
    await page.screenshot({ path: picture, fullPage: true });
  } else {
    if (process.env.TOKEN) {
      await page.locator("#token").fill(process.env.TOKEN);
      await page.locator("#entry button").click();
    }
    await new Promise((resolve) => process.stdin.on("close", resolve).resume());
    const ground = () => page.evaluate("getComputedStyle(document.body).backgroundColor");
    const light = await ground();
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await ground();
    // How many cards stand in each row, at each width.
    const rows = {};
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: PHONE.height });
      rows[width] = await page.evaluate(countRows);
    }
    await page.setViewportSize(PHONE);
    const overhang = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
    const cookies = (await page.context().cookies()).map(({ name, value, httpOnly, sameSite }) => ({ name, value, httpOnly, sameSite }));
    const html = await page.content();
    const readable = await page.evaluate("document.cookie");
    const last = { light, dark, overhang, rows, cookies, readable, html, hosts: [...hosts], urls: [...urls] };
    console.log(JSON.stringify({ last }));
  }
} finally {
  await browser.close();
}
