// Owns a dev server as many have it: Express with compression and http-proxy. Prints its port.
//   node express_proxy.mjs TARGET [no-store]     with a Cache-Control of its own on every answer, so that compression holds
//                                                streams back
import compression from "compression";
import express from "express";
import httpProxy from "http-proxy";

const [target, cacheControl] = process.argv.slice(2);
const proxy = httpProxy.createProxyServer({ target });
if (cacheControl) proxy.on("proxyRes", ({ headers }) => (headers["cache-control"] = cacheControl));
proxy.on("error", (error, request, response) => response.destroy(error));
const app = express();
// Small answers too, so that nothing passes for its size.
app.use(compression({ threshold: 0 }));
app.use((request, response) => proxy.web(request, response));
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
