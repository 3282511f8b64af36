// Owns the build of the three examples. Each is a root of its own: react, vue, svelte.
import { fileURLToPath } from "node:url";

import { svelte } from "@sveltejs/vite-plugin-svelte";
import react from "@vitejs/plugin-react";
import vue from "@vitejs/plugin-vue";

export default {
  plugins: [react(), vue(), svelte()],
  // taskgate.js is linked from a directory outside of this one.
  server: { fs: { allow: [fileURLToPath(new URL("../..", import.meta.url))] } },
};
