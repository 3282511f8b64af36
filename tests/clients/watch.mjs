// Owns what is told of a stream: one list for every EventSource and one for taskgate.js, so that what they see can be
// compared.

/** Watches `url` until the EventSource stops by itself. */
export function watch(EventSource, url, tell) {
  const source = new EventSource(url);
  return new Promise((resolve) => {
    source.onopen = () => tell({ event: "open" });
    for (const event of ["message", "trouble", "gone", "done"]) {
      source.addEventListener(event, ({ lastEventId, data }) => {
        // Trouble has no id. The browser then repeats the last one, as the standard asks, others do not.
        tell(event === "trouble" ? { event, data } : { event, id: lastEventId, data });
      });
    }
    source.onerror = () => {
      const isOver = source.readyState === EventSource.CLOSED;
      tell({ event: isOver ? "closed" : "cut" });
      if (isOver) resolve();
    };
  });
}

/** Tells the states that taskgate.js gives, and the end or the error. */
export async function follow(states, tell, name) {
  try {
    for await (const task of states) tell(name ? { task, of: name } : { task });
    tell(name ? { over: name } : { over: true });
  } catch (error) {
    tell({ error: error.name === "TaskgateError" ? error.code : String(error) });
  }
}
