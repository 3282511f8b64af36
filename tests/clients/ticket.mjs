// Owns tickets as a back end signs them.
import { createHmac } from "node:crypto";

/** A ticket for one task that ends after so many seconds. */
export function sign(secret, seconds, id) {
  const part = (content) => Buffer.from(JSON.stringify(content)).toString("base64url");
  const claims = { tasks: [id], exp: Math.floor(Date.now() / 1000) + seconds };
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}
