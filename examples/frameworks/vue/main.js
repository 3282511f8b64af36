// Owns the start of the app: the address of the task is in the page's own.
import { createApp } from "vue";

import App from "./App.vue";

const url = new URLSearchParams(location.search).get("url");
if (url) createApp(App, { url }).mount("#app");
