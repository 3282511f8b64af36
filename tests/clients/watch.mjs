// Owns what is told of a stream: one list for every EventSource, so that what they see can be compared.

/** Watches `url` until the EventSource stops by itself. It runs in Node and, as text, in a browser. */
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
