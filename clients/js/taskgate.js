// Watches tasks of a taskgate gateway to their end. It needs fetch alone: browsers, Node 20, Deno, Bun.

const FIRST_BYTE = 5_000;
const SILENCE = 45_000;
const SHORT_LIFE = 30_000; // cut sooner twice, streams do not pass
const STREAMS_AGAIN = 60_000; // then twice as long
const LONG_POLL = 25; // seconds
const GONE_AFTER = 15_000;
const PAUSE = 2_000;
const LONGEST_PAUSE = 15_000;
const SILENT = new Error("no sign of life");

/** An error that time does not mend, with the gateway's `code`. */
export class TaskgateError extends Error {
  constructor(status, { code = "unknown", message = `status ${status}` } = {}) {
    super(message);
    Object.assign(this, { name: "TaskgateError", status, code });
  }
}

/** The states of a task, each once. */
export async function* watch(url, options = {}) {
  const link = new Link(options);
  const [task, seen] = [absolute(url), { tag: "" }];
  for (let polling = STREAMS_AGAIN; ; polling *= 2) {
    if (yield* streamed(link, task, seen)) return;
    if (yield* polled(link, task, seen, LONG_POLL, Date.now() + polling)) return;
  }
}

/** The items of up to 100 tasks over one connection. */
export async function* watchAll(urls, options = {}) {
  const tasks = [...urls].map(absolute);
  if (!tasks.length) return;
  const list = new URL(options.list ?? "/v1/tasks", tasks[0]);
  for (const task of tasks) list.searchParams.append("id", task.pathname);
  const told = new Map();
  const isNews = ({ path, id, task, error }) => {
    const text = JSON.stringify(task ?? error);
    return told.get(path ?? id) !== text && told.set(path ?? id, text);
  };
  // A loop that is left leaves all requests.
  const left = new AbortController();
  const signal = AbortSignal.any([left.signal, options.signal ?? left.signal]);
  const on = (event) => (event.type !== "gone" || isNews(event)) && options.on?.(event);
  const link = new Link({ ...options, signal, on });
  const items = streamed(link, list, { tag: "" });
  try {
    let step;
    while (!(step = await items.next()).done) {
      link.recovered(step.value);
      if (isNews(step.value)) yield step.value;
    }
    if (step.value) return;
    // Streams do not pass: each task by itself.
    link.recovered();
    yield* merged(tasks.map(one));
  } finally {
    left.abort();
    items.return();
  }

  async function* one(task) {
    const name = { id: task.pathname, path: task.pathname };
    const alone = new Link({ ...options, signal, on: (event) => link.tell({ ...event, ...name }) });
    for await (const state of polled(alone, task, { tag: "" }, 0)) {
      const item = { ...name, task: state };
      link.recovered(name);
      if (isNews(item)) yield item;
    }
  }
}

/** By streams. Returns whether it is over; else streams do not pass. */
async function* streamed(link, url, seen) {
  for (let cuts = 0, failures = 0; ; ) {
    const opened = Date.now();
    let pause;
    let [isNews, isExpired] = [false, false];
    let connection;
    try {
      const headers = { Accept: "text/event-stream", ...(seen.tag && { "Last-Event-ID": seen.tag }) };
      connection = await link.ask(url, headers, FIRST_BYTE);
      const { response } = connection;
      failures = 0;
      if (response.status === 204) return true;
      if (!/event-stream/.test(response.headers.get("Content-Type"))) {
        if (response.ok) return false;
        pause = link.refused(response, await json(response));
      } else {
        link.recovered();
        for await (const { type, id, data, retry } of events(connection)) {
          if (retry) pause = +retry;
          if (data === undefined) continue;
          const content = JSON.parse(data);
          if (type === "done") return true;
          if (type === "gone") {
            link.tell(about(type, "error", content));
            if (!content.path) return true;
          } else if (type === "trouble") {
            isExpired ||= link.trouble(content);
          } else if (type === "estimate") {
            link.tell(about(type, type, content));
          } else {
            link.recovered();
            if (id && id === seen.tag) continue;
            seen.tag = id ?? "";
            isNews = true;
            yield content;
          }
        }
      }
    } catch (error) {
      link.check(error);
      if (!connection?.heard && error === SILENT) return false;
      if (!connection) {
        link.unreachable(error);
        pause = backoff(++failures);
      }
    } finally {
      connection?.close();
    }
    if (isExpired) pause = 0;
    if (isNews || pause !== undefined) cuts = 0;
    else if (Date.now() - opened < SHORT_LIFE && ++cuts === 2) return false;
    // Behind the last state a stream ends, and the next request gets 204.
    await link.sleep(pause ?? (isNews ? 0 : backoff(1)));
  }
}

/** By long-poll, or by plain GETs if `wait` is 0. Returns whether it is over. */
async function* polled(link, url, seen, wait, until = Infinity) {
  for (let failures = 0, missing = 0, since = 0; Date.now() < until; ) {
    let pause = PAUSE;
    let connection;
    try {
      const asked = new URL(url);
      const began = Date.now();
      if (wait) asked.searchParams.set("wait", wait);
      connection = await link.ask(asked, { "If-None-Match": seen.tag || '"-"' }, wait * 1000 + LONGEST_PAUSE);
      const { response } = connection;
      const isSame = response.status === 304;
      // Compression makes it weak.
      const tag = response.headers.get("ETag")?.replace("W/", "");
      const after = response.headers.get("Retry-After");
      const body = await json(response);
      failures = 0;
      if (response.ok || isSame || (tag && after)) {
        // That of a result may be a 404.
        link.recovered();
        missing = 0;
        const isNews = !isSame && (!tag || tag !== seen.tag);
        if (isNews) {
          seen.tag = tag ?? "";
          yield body;
        }
        // Behind the last state comes no other.
        if (!after) return true;
        // Some proxies drop the wait.
        pause = wait && (isNews || Date.now() - began > PAUSE) ? 0 : after * 1000;
      } else if ((response.status === 404 || response.status === 410) && tag) {
        since = missing++ ? since : Date.now();
        if (missing > 2 && Date.now() - since >= GONE_AFTER) {
          link.tell({ type: "gone", error: body });
          return true;
        }
        link.trouble(body);
      } else {
        pause = link.refused(response, body);
      }
    } catch (error) {
      link.check(error);
      link.unreachable(error);
      if (++failures === 2) wait = 0;
      pause = backoff(failures);
    } finally {
      connection?.close();
    }
    await link.sleep(pause);
  }
  return false;
}

/** The requests of a watch, and what it tells beside the states. */
class Link {
  constructor({ ticket, signal = new AbortController().signal, on }) {
    Object.assign(this, { ticket, signal, on, told: new Map(), renew: typeof ticket === "function" });
  }

  async ask(url, headers, ms) {
    for (let isRenewed = false; ; isRenewed = true) {
      this.signal.throwIfAborted();
      const ticket = await this.#ticket(isRenewed);
      const controller = new AbortController();
      let timer;
      const alive = (ms) => {
        clearTimeout(timer);
        timer = setTimeout(() => controller.abort(SILENT), ms);
      };
      const close = () => {
        clearTimeout(timer);
        controller.abort();
      };
      alive(ms);
      try {
        if (ticket) headers.Authorization = `Bearer ${ticket}`;
        const signal = AbortSignal.any([controller.signal, this.signal]);
        const response = await fetch(url, { headers, signal, cache: "no-store" });
        if (response.status !== 401 || isRenewed || !this.renew) return { response, alive, close };
        close();
      } catch (error) {
        close();
        throw error;
      }
    }
  }

  async #ticket(isRefused) {
    if (!this.renew) return this.ticket;
    if (!this.held || isRefused || Date.now() > this.until) {
      this.held = await this.ticket();
      const left = endOf(this.held) * 1000 - Date.now() || Infinity;
      this.until = Date.now() + Math.max(left * 0.75, left - 30_000);
    }
    return this.held;
  }

  tell(event) {
    this.on?.(event);
  }

  trouble(content) {
    const event = about("trouble", "error", content?.path ? content : (content?.error ?? content));
    if (this.renew && event.error?.code === "invalid_credentials") {
      this.held = "";
      return true;
    }
    const text = JSON.stringify(event);
    if (text !== this.told.get(event.path)) this.tell(event);
    this.told.set(event.path, text);
  }

  recovered({ id, path } = {}) {
    if (this.told.delete(path)) this.tell(path ? { type: "recovered", id, path } : { type: "recovered" });
  }

  unreachable(error) {
    this.trouble({ code: "unreachable", message: error.message });
  }

  /** Throws what time does not mend, or returns the pause. */
  refused({ status, headers }, body) {
    const isOwn = body?.error?.type === "gateway_error";
    if (status < 500 && (isOwn ? !body.error.retryable : status === 401)) throw new TaskgateError(status, body?.error);
    this.trouble(body);
    return headers.get("Retry-After") * 1000 || PAUSE;
  }

  /** Throws what is no failure of the connection. */
  check(error) {
    this.signal.throwIfAborted();
    if (error instanceof TaskgateError) throw error;
  }

  async sleep(ms) {
    const { signal } = this;
    if (ms) {
      await new Promise((resolve) => {
        const wake = () => resolve(clearTimeout(timer), signal.removeEventListener("abort", wake));
        const timer = setTimeout(wake, ms);
        signal.addEventListener("abort", wake);
      });
    }
    signal.throwIfAborted();
  }
}

/** The events of a stream. */
async function* events(connection) {
  const reader = connection.response.body.getReader();
  const decoder = new TextDecoder();
  let [rest, event] = ["", {}];
  for (let step; !(step = await reader.read()).done; ) {
    connection.heard = true;
    connection.alive(SILENCE);
    const lines = (rest + decoder.decode(step.value, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
      if (!line) {
        yield event;
        event = {};
      } else if (name === "data") {
        event.data = event.data === undefined ? value : `${event.data}\n${value}`;
      } else if (name) {
        event[name === "event" ? "type" : name] = value;
      }
    }
  }
}

async function* merged(iterators) {
  const waiting = new Map();
  const next = (iterator) => {
    const step = iterator.next().then((step) => [iterator, step]);
    step.catch(() => {});
    waiting.set(iterator, step);
  };
  iterators.forEach(next);
  try {
    while (waiting.size) {
      const [iterator, { done, value }] = await Promise.race(waiting.values());
      if (done) {
        waiting.delete(iterator);
      } else {
        next(iterator);
        yield value;
      }
    }
  } finally {
    for (const iterator of waiting.keys()) iterator.return().catch(() => {});
  }
}

const about = (type, name, content) => (content?.path ? { type, ...content } : { type, [name]: content });

const absolute = (url) => new URL(url, globalThis.location?.href);

const json = async (response) => {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
};

const backoff = (times) => Math.min(LONGEST_PAUSE, 500 * 2 ** times) * (0.5 + Math.random() / 2);

/** When a ticket ends, in Unix seconds. */
function endOf(ticket) {
  try {
    return JSON.parse(atob(ticket.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).exp;
  } catch {}
}
