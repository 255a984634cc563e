// Signs deploy webhooks with the vendors' own libraries: reads one JSON line for each,
// {"kind", "secret", "body", "path"?, "at"? (seconds)}, and writes one JSON line with the headers and, where
// the library chooses it, the body. {"kind": "examples", "event"} writes the payloads of an event, and
// {"kind": "check", "definition", "body"} whether a payload is as GitHub's schema has that definition.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.env.NODE_MODULES}/`);
const load = (name) => import(require.resolve(name));

let ajv;
const schema = (definition) => {
  if (!ajv) {
    const Ajv = require("ajv");
    ajv = new (Ajv.default ?? Ajv)({ strict: false });
    require("ajv-formats").default(ajv);
    ajv.addSchema(require("@octokit/webhooks-schemas/schema.json"), "github");
  }
  return ajv.getSchema(`github#/definitions/${encodeURIComponent(definition)}`);
};

const signers = {
  async github({ secret, body }) {
    // An ES module without a CommonJS entry.
    const { sign } = await import(`${process.env.NODE_MODULES}/@octokit/webhooks-methods/dist-node/index.js`);
    return { headers: { "x-hub-signature-256": await sign(secret, body) } };
  },
  async standard({ secret, body, at }) {
    const { Webhook } = require("standardwebhooks");
    const id = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W";
    const signature = new Webhook(secret).sign(id, new Date(at * 1000), body);
    return { headers: { "webhook-id": id, "webhook-timestamp": `${at}`, "webhook-signature": signature } };
  },
  // From 19.0 on, GitLab signs as the library does.
  async gitlab(wanted) {
    return signers.standard(wanted);
  },
  // The same MAC as GitHub's, in headers of their own.
  async bitbucket(wanted) {
    const { headers } = await signers.github(wanted);
    return { headers: { "x-hub-signature": headers["x-hub-signature-256"] } };
  },
  async gitea(wanted) {
    const { headers } = await signers.github(wanted);
    return { headers: { "x-gitea-signature": headers["x-hub-signature-256"].replace("sha256=", "") } };
  },
  async forgejo(wanted) {
    const { headers } = await signers.gitea(wanted);
    return { headers: { "x-forgejo-signature": headers["x-gitea-signature"] } };
  },
  // Of these there is no library, and this is how their documentation does it.
  async vercel({ secret, body }) {
    const { createHmac } = await import("node:crypto");
    return { headers: { "x-vercel-signature": createHmac("sha1", secret).update(body).digest("hex") } };
  },
  async ghost({ secret, body, at }) {
    const { createHmac } = await import("node:crypto");
    const tag = createHmac("sha256", secret).update(`${body}${at * 1000}`).digest("hex");
    return { headers: { "x-ghost-signature": `sha256=${tag}, t=${at * 1000}` } };
  },
  async svix({ secret, body, at }) {
    const { Webhook } = require("svix");
    const id = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W";
    const signature = new Webhook(secret).sign(id, new Date(at * 1000), body);
    return { headers: { "svix-id": id, "svix-timestamp": `${at}`, "svix-signature": signature } };
  },
  async stripe({ secret, body, at }) {
    const Stripe = require("stripe");
    const stripe = new (Stripe.default ?? Stripe)("sk_test_unused");
    const signature = stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: at });
    return { headers: { "stripe-signature": signature } };
  },
  async sanity({ secret, body, at }) {
    const { encodeSignatureHeader } = require("@sanity/webhook");
    return { headers: { "sanity-webhook-signature": await encodeSignatureHeader(body, at * 1000, secret) } };
  },
  async contentful({ secret, body, path, at }) {
    const { signRequest } = await load("@contentful/node-apps-toolkit");
    const headers = {
      "content-type": "application/vnd.contentful.management.v1+json",
      "x-contentful-topic": "ContentManagement.Entry.publish",
      "x-contentful-idempotency-key": "5f1e2d",
    };
    const signed = signRequest(secret, { method: "POST", path, headers, body }, at * 1000);
    return { headers: { ...headers, ...signed } };
  },
  async netlify({ secret, body }) {
    const { createHash } = await import("node:crypto");
    const sha256 = createHash("sha256").update(body).digest("hex");
    const token = require("jsonwebtoken").sign({ iss: "netlify", sha256 }, secret, { algorithm: "HS256", noTimestamp: true });
    return { headers: { "x-webhook-signature": token } };
  },
  async cloudevents({ secret, body, mode }) {
    const { CloudEvent, HTTP } = require("cloudevents");
    const event = new CloudEvent({
      id: "1", source: "/site", type: "com.example.deployed",
      datacontenttype: "application/json", data: JSON.parse(body),
    });
    const message = mode === "binary" ? HTTP.binary(event) : HTTP.structured(event);
    const text = typeof message.body === "string" ? message.body : JSON.stringify(message.body);
    if (mode === "batch") {
      // The library sends none.
      const batch = { "content-type": "application/cloudevents-batch+json; charset=utf-8" };
      return { headers: { ...batch, authorization: `Bearer ${secret}` }, body: `[${text},${text}]` };
    }
    return { headers: { ...message.headers, authorization: `Bearer ${secret}` }, body: text };
  },
  async examples({ event }) {
    const webhooks = require("@octokit/webhooks-examples/api.github.com/index.json");
    return { examples: webhooks.find((webhook) => webhook.name === event).examples };
  },
  async check({ body, definition }) {
    const valid = schema(definition);
    return { valid: valid(JSON.parse(body)), errors: valid.errors };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const wanted = JSON.parse(line);
  console.log(JSON.stringify(await signers[wanted.kind](wanted)));
}
