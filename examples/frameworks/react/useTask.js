import { useEffect, useState } from "react";
import { watch } from "taskgate";

/** A task while the component is there: `{ task, error, estimate, isOver }`. A new `url` is a new watch. */
export function useTask(url, ticket) {
  const [seen, setSeen] = useState({});
  useEffect(() => {
    const leave = new AbortController();
    const { signal } = leave;
    const show = (news) => signal.aborted || setSeen((seen) => ({ ...seen, ...news }));
    const on = ({ type, ...news }) => show(type === "recovered" ? { error: undefined } : news);
    async function follow() {
      setSeen({});
      for await (const task of watch(url, { ticket, signal, on })) show({ task });
      show({ isOver: true });
    }
    follow().catch((error) => show({ error, isOver: true }));
    return () => leave.abort();
  }, [url]);
  return seen;
}
