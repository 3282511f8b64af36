// Owns the start of the app: the address of the task is in the page's own.
import { mount } from "svelte";

import App from "./App.svelte";

const url = new URLSearchParams(location.search).get("url");
if (url) mount(App, { target: document.getElementById("app"), props: { url } });
