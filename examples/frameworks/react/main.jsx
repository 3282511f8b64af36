// Owns the start of the app: the address of the task is in the page's own.
import { createRoot } from "react-dom/client";

import { App } from "./App.jsx";

const url = new URLSearchParams(location.search).get("url");
if (url) createRoot(document.getElementById("app")).render(<App url={url} />);
