// Owns the dashboard's behaviour: sign-in, the stream of figures, and the place of each figure on the page. Text from
// the gateway is only ever inserted as text, never as HTML.
const at = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
/** Milliseconds without a figure after which the page connects again. */
const IDLE_TIMEOUT = 5000;
let source;
let watchdog;
let isWaiting = false;
let version;
let last;

/** Asks whether this browser may see the figures: opens their stream, or shows the sign-in form or the refusal. */
async function enter() {
  clearTimeout(watchdog);
  source?.close();
  try {
    const answer = await fetch("/session", { cache: "no-store" });
    if (answer.ok) {
      at("leave").hidden = answer.status !== 200;
      show("board");
      watch();
    } else {
      await refuse(answer);
    }
  } catch {
    lose();
    watchdog = setTimeout(enter, 1000);
  }
}

function watch() {
  source = new EventSource("/events");
  source.onmessage = (event) => {
    clearTimeout(watchdog);
    watchdog = setTimeout(enter, IDLE_TIMEOUT);
    isWaiting = false;
    draw(JSON.parse(event.data));
  };
  source.addEventListener("busy", () => {
    clearTimeout(watchdog);
    isWaiting = true;
    link("lost", "Too many dashboards are open; waiting for a free place");
  });
  // The browser reconnects by itself, unless the gateway answered with an error.
  source.onerror = () => {
    clearTimeout(watchdog);
    if (!isWaiting) lose();
    if (source.readyState === EventSource.CLOSED) watchdog = setTimeout(enter, 1000);
  };
}

async function refuse(answer) {
  const { error } = await answer.json().catch(() => ({}));
  const needsToken = answer.status === 401;
  at("entry").hidden = !needsToken;
  put("door-title", needsToken ? "Sign in" : "The dashboard is closed");
  // A first visit without a token is no fault, so it shows no error.
  at("refusal").textContent = error?.code === "missing_credentials" ? "" : error?.message ?? `The gateway answered ${answer.status}.`;
  link("", needsToken ? "Signed out" : "Closed");
  at("leave").hidden = true;
  show("door");
  if (needsToken) at("token").focus();
}

at("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const headers = { Authorization: `Bearer ${at("token").value.trim()}` };
  at("token").value = "";
  try {
    const answer = await fetch("/session", { method: "POST", headers });
    if (answer.ok) enter();
    else await refuse(answer);
  } catch {
    at("refusal").textContent = "That is no token, or the gateway cannot be reached.";
  }
});

at("leave").addEventListener("click", async () => {
  source?.close();
  await fetch("/session", { method: "DELETE" }).catch(() => {});
  enter();
});

function show(id) {
  for (const part of ["door", "board"]) at(part).hidden = part !== id;
}

function link(state, text) {
  document.body.dataset.link = state;
  put("link", text);
}

function lose() {
  link("lost", "Connection lost, reconnecting");
  at("health").dataset.level = "worry";
  put("headline", "The gateway does not answer");
  put("advice", last ? `The figures below are from ${last}. This page tries again by itself.` : "This page tries again by itself.");
  put("timing", "");
}

/** Writes only text that has changed, so that a screen reader reads nothing twice. */
function put(id, text) {
  write(at(id), text);
}

function write(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

function draw(figures) {
  // A gateway of another version serves another page.
  version ??= figures.version;
  if (version !== figures.version) return location.reload();
  last = new Date().toLocaleTimeString();
  link("live", "Live");
  put("version", `version ${figures.version}`);
  put("uptime", `up ${span(figures.uptime_s)}`);
  drawHealth(figures.health);
  drawSaving(figures.answers);
  drawBudget(figures.budget);
  drawAnswers(figures.answers);
  drawLatency(figures.latency);
  drawHouse(figures);
  drawSharing(figures.sharing);
  drawLearnt(figures.pacing);
  drawTasks(figures.tasks);
  drawFailures(figures.failures);
}

function drawHealth({ level, headline, advice, since_s, until_s }) {
  at("health").dataset.level = level;
  put("headline", headline);
  put("advice", advice);
  const parts = [];
  if (since_s !== null) parts.push(`For ${span(since_s)}`);
  if (until_s) parts.push(`tried again in ${span(until_s)}`);
  put("timing", parts.join(", "));
  document.title = level === "well" ? "taskgate" : `${headline} · taskgate`;
}

function drawSharing(sharing) {
  at("sharing").hidden = !sharing;
  if (!sharing) return;
  put("replicas", sharing.replicas ? `${sharing.replicas} alive` : "alone");
  put("taken", whole.format(sharing.taken));
  put("calls", whole.format(sharing.calls));
  put("call-ms", sharing.mean_ms === null ? "–" : sharing.mean_ms.toFixed(1));
  put("calls-failed", whole.format(sharing.failed));
}

function drawSaving({ handed_out, paid, asked, saved, handed_out_a_second, asked_a_second }) {
  share("saved-share", handed_out ? saved / handed_out : null);
  put("handed-out", whole.format(handed_out));
  put("asked", whole.format(asked));
  put("paid", whole.format(paid));
  put("saved", whole.format(saved));
  const [out, up] = [smooth(handed_out_a_second), smooth(asked_a_second)];
  const top = ceiling(Math.max(...out, ...up));
  put("peak", `up to ${top}`);
  line(at("rates"), "out", out, top);
  line(at("rates"), "up", up, top);
  at("rates").setAttribute("aria-label", `Now ${out.at(-1).toFixed(1)} answers and ${up.at(-1).toFixed(1)} upstream requests per second`);
}

function drawBudget({ gate, tokens, burst, effective_per_minute, configured_per_minute, quota }) {
  put("gate", gate === "open" ? "gate open" : gate === "closed" ? "gate closed" : "gate probing");
  at("gate").dataset.is = gate;
  put("tokens", whole.format(tokens));
  put("burst", `of ${whole.format(burst)} tokens`);
  const gauge = at("gauge");
  gauge.dataset.is = gate;
  gauge.setAttribute("aria-valuemax", burst);
  gauge.setAttribute("aria-valuenow", tokens);
  const full = burst ? tokens / burst : 0;
  // At zero, the round line cap would show as a dot.
  gauge.querySelector(".fill").style.strokeDasharray = `${full * 100} 200`;
  gauge.querySelector(".fill").style.opacity = full ? 1 : 0;
  put("rate", whole.format(effective_per_minute));
  put("setting", whole.format(configured_per_minute));
  at("rate-bar").style.width = `${(100 * effective_per_minute) / configured_per_minute}%`;
  at("quota").hidden = !quota;
  if (quota) {
    put("remaining", whole.format(quota.remaining));
    put("quota-of", `${quota.limit === null ? "" : `of ${whole.format(quota.limit)} `}for ${quota.resets_s} s`);
  }
}

function drawAnswers(answers) {
  share("hit-ratio", answers.hit_ratio);
  for (const part of at("kinds").children) {
    const count = answers[part.dataset.kind];
    part.style.flexGrow = count;
    part.hidden = !count;
    put(part.dataset.kind, whole.format(count));
  }
  put("answered", whole.format(answers.handed_out));
}

function drawLatency({ median_ms, p95_ms, seconds_ms }) {
  put("median", median_ms ?? "–");
  put("p95", p95_ms ?? "–");
  const top = Math.max(...seconds_ms, 1) * 1.1;
  line(at("latency"), "up", seconds_ms, top);
}

function drawHouse({ tasks, streams, downloads, memory, budget }) {
  put("in-flight", whole.format(budget.in_flight));
  put("tasks-total", whole.format(tasks.total));
  put("streams", whole.format(streams));
  put("downloads", whole.format(downloads.open));
  put("downloaded", bytes(downloads.bytes));
  put("states", whole.format(memory.states));
  put("bytes", bytes(memory.bytes));
  put("max-bytes", bytes(memory.max_bytes));
  at("memory-bar").style.width = `${Math.min(100, (100 * memory.bytes) / memory.max_bytes)}%`;
}

/** What was learnt of durations: for each model, the part of its tasks that still runs, by age. */
function drawLearnt({ delay_s, curves }) {
  at("learnt").hidden = curves.length === 0;
  put("learnt-note", delay_s === null ? "" : `ends are seen after ${delay_s.toFixed(1)} s on average`);
  const items = fill(at("curves"), at("curve"), curves.length);
  curves.forEach(({ model, route, ends, span_s, alive }, number) => {
    const part = (name, text) => write(items[number].querySelector(`.${name}`), text);
    const after = alive.findIndex((left) => left <= 0.5);
    const half = after < 0 ? "Few end in this time" : `Half end by ${span(Math.round((span_s * after) / (alive.length - 1)))}`;
    part("model", model || route);
    part("half", half);
    part("ends", `of ${whole.format(ends)} ends`);
    part("span", span(Math.round(span_s)));
    const svg = items[number].querySelector("svg");
    svg.setAttribute("aria-label", half);
    line(svg, "up", alive, 1);
  });
}

function drawTasks({ total, shown }) {
  at("no-tasks").hidden = shown.length > 0;
  put("tasks-note", total > shown.length ? `${shown.length} of ${whole.format(total)}` : "");
  const rows = fill(at("tasks"), at("task"), shown.length);
  shown.forEach((task, number) => {
    const row = rows[number];
    const cell = (name, text) => write(row.querySelector(`.${name}`), text);
    row.dataset.phase = task.phase;
    cell("id", task.id);
    cell("route", task.route);
    cell("word", task.word ?? { unknown: "not known yet", missing: "not found" }[task.phase] ?? task.phase);
    cell("trouble", task.trouble ?? "");
    cell("age", task.age_s === null ? "–" : span(task.age_s));
    cell("next", next(task));
    row.title = task.ends_in_s === null ? "" : `likely to end in about ${span(task.ends_in_s)}`;
    cell("watchers", whole.format(task.watchers));
    row.classList.toggle("alone", task.watchers === 0);
  });
}

function next({ phase, in_flight, is_held, next_s }) {
  if (phase === "over") return "done";
  if (in_flight) return "now";
  if (is_held) return "after the pause";
  if (next_s === null) return "on request";
  return next_s === 0 ? "in turn" : `in ${span(next_s)}`;
}

function drawFailures(failures) {
  at("no-failures").hidden = failures.length > 0;
  const lines = fill(at("failures"), at("failure"), failures.length);
  failures.forEach(({ code, status, id, ago_s }, number) => {
    const part = (name, text) => write(lines[number].querySelector(`.${name}`), text);
    part("code", status ? `${status} ${code}` : code);
    part("id", id);
    part("ago", `${span(ago_s)} ago`);
  });
}

/** Makes `count` copies of a template in `parent`; copies already there are used again. */
function fill(parent, template, count) {
  while (parent.children.length > count) parent.lastElementChild.remove();
  while (parent.children.length < count) parent.append(template.content.cloneNode(true));
  return parent.children;
}

/** Draws a line and the area below it. The line skips seconds without a value. */
function line(svg, name, values, top) {
  const points = values.flatMap((value, x) => (value === null ? [] : [[x, 99.5 - (98 * value) / top]]));
  const path = points.map(([x, y]) => `${x} ${y.toFixed(1)}`).join("L");
  svg.querySelector(`.${name}.line`).setAttribute("d", path && `M${path}`);
  svg.querySelector(`.${name}.area`).setAttribute("d", path && `M${points[0][0]} 99.5L${path}L${points.at(-1)[0]} 99.5Z`);
}

/** A weighted average of each second and its neighbours: refreshes come in regular bursts, which say nothing. */
function smooth(values) {
  const weights = [1, 2, 3, 2, 1];
  return values.map((_, x) => {
    let [sum, weight] = [0, 0];
    weights.forEach((heavy, place) => {
      const value = values[x + place - 2];
      if (value === undefined) return;
      sum += value * heavy;
      weight += heavy;
    });
    return sum / weight;
  });
}

/** The next round number, so that the scale seldom changes. */
function ceiling(value) {
  const step = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 3, 5, 10].map((times) => times * step).find((round) => round >= value) ?? value;
}

/** Shows a ratio as a percentage, never rounded up to 100. Without answers yet there is no ratio. */
function share(id, part) {
  put(id, part === null ? "–" : (Math.floor(part * 1000) / 10).toFixed(part === 1 ? 0 : 1));
  at(id).dataset.none = part === null;
}

function span(seconds) {
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB"];
  const power = count ? Math.min(3, Math.floor(Math.log2(count) / 10)) : 0;
  const value = count / 1024 ** power;
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

enter();
