// Owns the reader of the example page: opens it in a browser and prints every change of a card, one JSON a line.
//   node page.mjs URL [PICTURE.png SECONDS [SCHEME [WIDTH]]]   also takes its picture, after so long
import { open } from "./browser.mjs";

const [url, picture, seconds, scheme, width] = process.argv.slice(2);

/** Runs in the page. A card is told again whenever something of it has changed. */
function observe(tell) {
  const told = new Map();
  const card = (element) => {
    const text = (selector) => element.querySelector(selector).textContent;
    const bar = element.querySelector("progress");
    const image = element.querySelector("img");
    return {
      id: element.dataset.id,
      is: element.dataset.is ?? "waiting",
      title: text("h2"),
      status: text(".status"),
      bar: bar.hidden ? null : bar.position,
      note: text(".note"),
      picture: image !== null && image.naturalWidth > 0,
      links: [...element.querySelectorAll("a")].map((link) => link.href),
      films: [...element.querySelectorAll("video")].map((film) => [film.src, film.duration]),
      sounds: [...element.querySelectorAll("audio")].map((sound) => sound.src),
    };
  };
  const look = () => {
    const connection = document.getElementById("connection").textContent;
    const command = document.getElementById("file").hidden ? undefined : document.getElementById("command").textContent;
    for (const seen of [{ connection, command }, ...[...document.querySelectorAll("#tasks > li")].map(card)]) {
      const json = JSON.stringify(seen);
      if (told.get(seen.id) !== json) tell(json);
      told.set(seen.id, json);
    }
  };
  const options = { subtree: true, childList: true, attributes: true, characterData: true };
  new MutationObserver(look).observe(document.body, options);
  document.addEventListener("load", look, true);
  document.addEventListener("loadedmetadata", look, true);
  look();
}

const { browser, page } = await open({ viewport: { width: Number(width ?? 1100), height: 760 }, colorScheme: scheme ?? "light" });
try {
  await page.exposeFunction("tell", (json) => console.log(json));
  page.on("pageerror", (error) => console.log(JSON.stringify({ broken: String(error) })));
  await page.goto(url);
  await page.evaluate(`(${observe})(tell)`);
  if (picture) {
    await page.waitForTimeout(seconds * 1000);
    await page.screenshot({ path: picture, fullPage: true });
  } else {
    // Whoever started this has seen enough when it closes standard input.
    await new Promise((resolve) => process.stdin.on("close", resolve).resume());
  }
} finally {
  await browser.close();
}
