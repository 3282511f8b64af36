/** Types of taskgate.js. */

/** The gateway's error, or the upstream's own. */
export interface TaskError {
  code?: string;
  message?: string;
  retryable?: boolean;
  retry_after?: number;
}

/** When a task will probably end, in seconds from now. */
export interface Estimate {
  remaining_s: number;
  low_s: number;
  high_s: number;
}

/** What is told beside the states. `id` and `path` name the task where several are watched. */
export type WatchEvent =
  | { type: "trouble"; error: TaskError; id?: string; path?: string }
  | { type: "recovered"; id?: string; path?: string }
  | { type: "gone"; error: unknown; id?: string; path?: string }
  | { type: "estimate"; estimate: Estimate; id?: string; path?: string };

export interface WatchOptions {
  /** The ticket or token, or a function that gets one: it is asked before the ticket ends and when it is refused. */
  ticket?: string | (() => string | Promise<string>);
  /** Ends the watch: the loop then throws its reason. */
  signal?: AbortSignal;
  /** Told of trouble (it goes on by itself) and its end, of a task that is gone (the loop ends), and of estimates. */
  on?: (event: WatchEvent) => void;
}

export interface WatchAllOptions extends WatchOptions {
  /** The list's address, where the gateway stands behind a path: `/v1/tasks` at the first task's host by default. */
  list?: string | URL;
}

/** A task in a list: its state, or the error of one that is refused. */
export interface Item<Task = unknown> {
  /** The path of the task's URL. */
  id: string;
  path?: string;
  code?: number;
  task?: Task;
  error?: TaskError;
  stale?: boolean;
}

/** An error that time does not mend, such as a ticket for another task. */
export class TaskgateError extends Error {
  readonly status: number;
  readonly code: string;
}

/** The states of a task, each once, until it is over or gone. */
export function watch<Task = any>(url: string | URL, options?: WatchOptions): AsyncGenerator<Task, void, void>;

/** The states of up to 100 tasks over one connection, until all are over or gone. */
export function watchAll<Task = any>(
  urls: Iterable<string | URL>,
  options?: WatchAllOptions,
): AsyncGenerator<Item<Task>, void, void>;
