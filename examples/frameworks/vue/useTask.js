import { watch as watchTask } from "taskgate";
import { shallowRef, toValue, watch } from "vue";

/** A task while the component is there: `{ task, error, estimate, isOver }`. A new `url` is a new watch. */
export function useTask(url, ticket) {
  const seen = shallowRef({});
  const restart = (url, _, onCleanup) => {
    const leave = new AbortController();
    const { signal } = leave;
    const show = (news) => signal.aborted || (seen.value = { ...seen.value, ...news });
    const on = ({ type, ...news }) => show(type === "recovered" ? { error: undefined } : news);
    async function follow() {
      seen.value = {};
      for await (const task of watchTask(url, { ticket, signal, on })) show({ task });
      show({ isOver: true });
    }
    follow().catch((error) => show({ error, isOver: true }));
    onCleanup(() => leave.abort());
  };
  watch(() => toValue(url), restart, { immediate: true });
  return seen;
}
