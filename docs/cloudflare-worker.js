// Hands every mail of a Cloudflare Email Routing address to Dropcopy, byte for byte.
//
// Set up: create an Email Worker with this text; set the variables URL (the address that the source's page shows) and
// SECRET (as a secret: the source's whsec_… value); then route the drop addresses, or a catch-all, to the worker.
//
// The answer decides what the sender's server hears while it still waits: kept (2xx); refused for good (406, 413, 422),
// which it gets as a rejection; anything else throws, so that Cloudflare asks it to come again and nothing is lost.

const FINAL = [406, 413, 422];

export default {
  async email(message, env) {
    const raw = new Uint8Array(await new Response(message.raw).arrayBuffer());
    const id = "cf_" + crypto.randomUUID();
    const timestamp = String(Math.floor(Date.now() / 1000));
    const answer = await fetch(env.URL, {
      method: "POST",
      redirect: "manual",
      headers: {
        "content-type": "message/rfc822",
        "x-envelope-from": message.from ? message.from : "<>",
        "x-envelope-to": message.to,
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + (await sign(env.SECRET, `${id}.${timestamp}.`, raw)),
      },
      body: raw,
    });
    if (answer.ok) return;
    const sentence = (await answer.text()).slice(0, 200);
    if (FINAL.includes(answer.status)) return message.setReject(sentence);
    throw new Error(`Dropcopy answered ${answer.status}: ${sentence}`);
  },
};

// Standard Webhooks: base64 of HMAC-SHA256 over id.timestamp.body, on bytes.
async function sign(secret, head, raw) {
  const octets = Uint8Array.from(atob(secret.replace(/^whsec_/, "")), (c) => c.charCodeAt(0));
  const key = await crypto.subtle.importKey("raw", octets, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const start = new TextEncoder().encode(head);
  const content = new Uint8Array(start.length + raw.length);
  content.set(start);
  content.set(raw, start.length);
  const signature = new Uint8Array(await crypto.subtle.sign("HMAC", key, content));
  return btoa(String.fromCharCode(...signature));
}
