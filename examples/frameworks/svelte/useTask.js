import { readable } from "svelte/store";
import { watch } from "taskgate";

/** A store of a task, watched while somebody subscribes: `{ task, error, estimate, isOver }`. */
export function useTask(url, ticket) {
  return readable({}, (set, update) => {
    const leave = new AbortController();
    const { signal } = leave;
    const show = (news) => signal.aborted || update((seen) => ({ ...seen, ...news }));
    const on = ({ type, ...news }) => show(type === "recovered" ? { error: undefined } : news);
    async function follow() {
      set({});
      for await (const task of watch(url, { ticket, signal, on })) show({ task });
      show({ isOver: true });
    }
    follow().catch((error) => show({ error, isOver: true }));
    return () => leave.abort();
  });
}
