// Owns the app: a task, and a button that takes it away and brings it back.
import { useState } from "react";

import { useTask } from "./useTask.js";

export function App({ url }) {
  const [isThere, setThere] = useState(true);
  return (
    <>
      {isThere && <Task url={url} />}
      <button onClick={() => setThere(!isThere)}>{isThere ? "Leave" : "Come back"}</button>
    </>
  );
}

function Task({ url }) {
  const { task, error, isOver } = useTask(url);
  return (
    <article>
      <p className="status">{task?.status ?? "Waiting for news"}</p>
      {!isOver && <progress max="100" value={task?.progress} aria-label="Progress" />}
      {error && <p role="alert">{error.message}</p>}
    </article>
  );
}
